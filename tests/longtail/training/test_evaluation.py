"""The accuracy of a network on a split, with its predictions written out."""

import pytest
import torch
from torch import nn

from gradlens.longtail.data.image_set import ImageSet
from gradlens.longtail.data.labelled_images import TensorImages
from gradlens.longtail.networks.network import Network
from gradlens.longtail.training.evaluation import BATCH, evaluate

COUNTS = [500, 50, 5]  # many, medium, few


class Told(Network):
    """The image is the predicted class; dropout would lose it in train mode."""

    def __init__(self, classes=3):
        super().__init__()
        self.features, self.classifier, self.dropout = classes, nn.Identity(), nn.Dropout(1.0)
        self.scale = nn.Parameter(torch.ones(()))

    def trunk(self, images):
        wanted = torch.nn.functional.one_hot(images.flatten().long(), self.features).float()
        return self.scale * self.dropout(wanted)


def split(predicted, labels):
    images = torch.tensor(predicted, dtype=torch.float32).reshape(-1, 1, 1, 1)
    return TensorImages(ImageSet(images, torch.tensor(labels), ("a", "b", "c")), "cpu")


def test_accuracies_by_hand():
    model = Told().train()
    found = evaluate(model, split([0, 0, 1, 2, 2], [0, 1, 1, 1, 2]), COUNTS)
    assert found == pytest.approx({"many": 100, "medium": 100 / 3, "few": 100, "overall": 60})
    assert not model.training


def test_more_images_than_a_batch():
    labels = [0] * BATCH + [2] * 3
    found = evaluate(Told(), split([0] * BATCH + [0, 2, 2], labels), COUNTS)
    assert found["many"] == 100
    assert found["few"] == pytest.approx(200 / 3)


def test_a_classifier_of_the_head_is_wrong_on_all_others():
    found = evaluate(Told(classes=1), split([0, 0, 0], [0, 1, 2]), COUNTS)
    assert found == pytest.approx({"many": 100, "medium": 0, "few": 0, "overall": 100 / 3})
