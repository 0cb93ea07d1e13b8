"""Labels of classes in no group are said once, with the cause."""

from __future__ import annotations

import pytest
import torch

from gradlens.groups import ClassGroups
from gradlens.tracking.attach.without_data import WithoutData
from gradlens.tracking.find.group_choice import DATA


def groups(rule: str) -> ClassGroups:
    return ClassGroups({"head": [0], "tail": [1]}, 8, rule=rule)


def test_classes_that_the_data_seemed_to_lack_are_named_once():
    look = WithoutData(groups(f"by rank {DATA}"), known=True).look
    assert look(torch.tensor([0, 1, 1, -100])) is None
    said = look(torch.tensor([[0, 4], [2, 4]]))
    assert said is not None
    assert said.startswith("labels of class 2, 4, of which the training data seemed to have none, belong to no group")
    assert look(torch.tensor([3])) is None


def test_many_classes_are_cut():
    said = WithoutData(groups(f"by rank {DATA}"), known=True).look(torch.arange(8))
    assert said is not None
    assert "labels of class 2, 3, 4, 5, 6, ..., of" in said


def test_classes_beyond_those_of_the_first_labels():
    look = WithoutData(groups("as asked for"), known=False).look
    assert look(torch.tensor([5])) is None  # left out by who asked
    said = look(torch.tensor([9, 0]))
    assert said is not None
    assert "class 9, of which the first labels had none" in said


@pytest.mark.parametrize("labels", [torch.tensor([2, 9]), torch.rand(2, 8)])
def test_nothing_is_said_of_groups_that_were_asked_for_and_of_masses(labels):
    assert WithoutData(groups("as asked for"), known=True).look(labels) is None
    assert WithoutData(groups(f"by rank {DATA}"), known=True).look(torch.rand(2, 8)) is None
