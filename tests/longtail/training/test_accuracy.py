"""Shot accuracies by hand."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, confusion_matrix

from gradlens.groups import ClassGroups
from gradlens.longtail.training.accuracy import class_accuracies, mistaken, shot_accuracies


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


def test_class_accuracies_and_confusion_against_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    labels = torch.cat([torch.arange(6), torch.randint(6, (200,), generator=generator)])
    predicted = torch.where(torch.rand(206, generator=generator) < 0.5, labels, (labels * 2 + 1) % 6)
    found = class_accuracies(predicted, labels, 6)
    assert found.mean() == pytest.approx(100 * balanced_accuracy_score(labels, predicted))
    table = confusion_matrix(labels, predicted)  # [true, predicted]
    np.testing.assert_allclose(found, 100 * table.diagonal() / table.sum(1))
    groups = ClassGroups({"head": [0, 1, 4], "tail": [2, 3]}, 6)  # class 5 is in no group
    head, tail = [0, 1, 4], [2, 3]
    assert mistaken(predicted, labels, groups) == pytest.approx(
        {
            ("head", "tail"): 100 * table[np.ix_(head, tail)].sum() / table[head].sum(),
            ("tail", "head"): 100 * table[np.ix_(tail, head)].sum() / table[tail].sum(),
        }
    )
