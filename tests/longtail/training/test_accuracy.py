"""Shot accuracies by hand."""

import math

import torch

from gradlens.longtail.training.accuracy import shot_accuracies


def test_accuracies_by_hand():
    counts = [200, 101, 100, 20, 19]
    labels = torch.tensor([0, 0, 1, 2, 2, 3, 4, 4])
    predicted = torch.tensor([0, 1, 1, 2, 0, 3, 4, 0])
    assert shot_accuracies(predicted, labels, counts) == {
        "many": 200 / 3,
        "medium": 200 / 3,
        "few": 50.0,
        "overall": 62.5,
    }


def test_a_shot_without_classes_is_left_out_and_one_without_test_images_is_nan():
    got = shot_accuracies(torch.tensor([0]), torch.tensor([0]), [200, 5])
    assert list(got) == ["many", "few", "overall"]
    assert math.isnan(got["few"])
