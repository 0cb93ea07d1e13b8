"""What a lens is given: read where it makes sense, and else an error that says what to give."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import nn

from gradlens.choices import DEFAULT_BUDGET
from gradlens.groups import ClassGroups
from gradlens.measure.arguments import cadence_of, check_kinds, counts_of, parts_of
from gradlens.measure.schedule.cadence import Budget, Every

GROUPS = ClassGroups({"head": [0], "tail": [1, 2]}, 3)
MODEL = nn.Linear(2, 3)


def test_what_fits_passes():
    check_kinds(MODEL, GROUPS, None, "auto")
    check_kinds(MODEL, GROUPS, torch.optim.SGD(MODEL.parameters(), 0.1), "func")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((MODEL.forward, GROUPS, None, "auto"), TypeError, "the model is a method"),
        ((MODEL, {"head": [0]}, None, "auto"), TypeError, "groups are dict; give ClassGroups"),
        ((MODEL, GROUPS, "sgd", "auto"), TypeError, "optimizer is a str"),
        ((MODEL, GROUPS, None, "fast"), ValueError, "engine='fast'; choose one of auto, masked"),
        ((nn.Linear(2, 3, device="meta"), GROUPS, None, "auto"), ValueError, "parameter weight is on the meta device"),
    ],
)
def test_what_does_not_fit_is_named(arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        check_kinds(*arguments)


def test_how_often_is_measured():
    assert str(cadence_of(3, None)) == str(Every(3))
    assert str(cadence_of(None, 0.2)) == str(Budget(0.2))
    assert str(cadence_of(None, None)) == str(Budget(DEFAULT_BUDGET))
    with pytest.raises(ValueError, match=r"every=3 and budget=0.2 exclude each other"):
        cadence_of(3, 0.2)


@pytest.mark.parametrize("counts", [[5, 3, 0.5], np.array([5, 3, 0.5]), torch.tensor([5, 3, 0.5])])
def test_class_counts_of_any_sequence(counts):
    assert counts_of(counts, GROUPS) == (5.0, 3.0, 0.5)


def test_no_class_counts():
    assert counts_of(None, GROUPS) is None


@pytest.mark.parametrize("counts", [[5, 3], [5, 3, -1], [5, 3, float("nan")], "many", [[5, 3, 1]], [5, [3], 1]])
def test_wrong_class_counts(counts):
    with pytest.raises(ValueError, match="one number of images for each of the 3 classes"):
        counts_of(counts, GROUPS)


def test_the_components_of_a_loss():
    a, b = torch.zeros(()), torch.ones(1)
    assert parts_of(a) == ((), [a])
    names, parts = parts_of({"ce": a, "kd": b})
    assert names == ("ce", "kd")
    assert parts[0] is a
    assert parts[1] is b
    assert parts_of({"ce": a})[0] == ("ce",)


@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        ({}, ValueError, "no loss components"),
        (1.5, TypeError, "the loss is a float; give a scalar tensor"),
        ({"ce": torch.zeros(()), "kd": 0}, TypeError, "loss component 'kd' is a int"),
        ({"ce": torch.zeros(()), "kd": torch.zeros(3)}, ValueError, "loss component 'kd' has shape [3]"),
    ],
)
def test_losses_that_are_none(loss, error, message):
    with pytest.raises(error, match=re.escape(message)):
        parts_of(loss)
