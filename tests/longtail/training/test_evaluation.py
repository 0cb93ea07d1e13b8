"""The accuracy of a network on a split, with its predictions written out."""

import math

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
    # The classes 0 and 1 are the head. One of its 4 images is taken for class 2. The logits are a one and two zeros.
    sure = math.e / (math.e + 2)
    assert found.numbers == pytest.approx(
        {
            "many": 100, "medium": 100 / 3, "few": 100, "overall": 60, "balanced": 700 / 9,
            "ece": 100 * abs(0.6 - sure), "head_as_tail": 25, "tail_as_head": 0,
        }
    )  # fmt: skip
    assert found.per_class == pytest.approx((100, 100 / 3, 100))
    assert not model.training


def test_more_images_than_a_batch():
    labels = [0] * BATCH + [2] * 3
    found = evaluate(Told(), split([0] * BATCH + [0, 2, 2], labels), COUNTS).numbers
    assert found["many"] == 100
    assert found["few"] == pytest.approx(200 / 3)


def test_a_classifier_of_the_head_is_wrong_on_all_others():
    found = evaluate(Told(classes=1), split([0, 0, 0], [0, 1, 2]), COUNTS).numbers
    assert found["overall"] == found["balanced"] == pytest.approx(100 / 3)
    assert (found["many"], found["medium"], found["few"]) == (100, 0, 0)
    # a single class has probability 1
    assert (found["tail_as_head"], found["head_as_tail"], found["ece"]) == (100, 0, pytest.approx(200 / 3))


def test_a_class_without_images_has_no_part_in_the_balanced_accuracy():
    found = evaluate(Told(), split([0, 0, 1, 0], [0, 0, 1, 1]), COUNTS)
    assert found.numbers["balanced"] == 75
    assert found.per_class[:2] == (100, 50)
    assert math.isnan(found.per_class[2])
    # the tail has no images, so no number: a NaN would be no JSON
    assert not any(math.isnan(value) for value in found.numbers.values())
    assert list(found.numbers) == ["many", "medium", "overall", "balanced", "ece", "head_as_tail"]


def test_a_single_class_has_neither_head_nor_tail():
    found = evaluate(Told(classes=1), split([0, 0], [0, 0]), [5]).numbers
    assert list(found) == ["few", "overall", "balanced", "ece"]


def test_the_training_goes_on_with_the_same_random_numbers():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    evaluate(Told().train(), split([0, 1], [0, 1]), COUNTS)
    assert torch.equal(torch.rand(3), expected)
