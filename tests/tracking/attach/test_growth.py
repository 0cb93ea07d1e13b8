"""A classifier that grows, told from another head of the same model."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from gradlens.tracking.attach import growth
from gradlens.tracking.attach.growth import MeasuredClassifier

BODY = nn.Linear(2, 3)
X = torch.ones(4, 2)


@pytest.fixture(autouse=True)
def calls_by_their_width(monkeypatch):
    """A loss call here is a tensor of logits."""
    monkeypatch.setattr(growth, "class_count", lambda call: call.anchor.shape[1])
    monkeypatch.setattr(growth, "contrasts", lambda call: False)


def found(*logits: torch.Tensor) -> list[SimpleNamespace]:
    return [SimpleNamespace(call=SimpleNamespace(anchor=each)) for each in logits]


def test_a_head_in_place_of_the_old_one_has_grown():
    old, new = nn.Linear(3, 2), nn.Linear(3, 5)
    measured = MeasuredClassifier(old(BODY(X)))
    assert measured.grown(found(new(BODY(X))), 2, [*BODY.parameters(), *new.parameters()]) == 5


def test_a_head_beside_the_old_one_is_another_task():
    old, new = nn.Linear(3, 2), nn.Linear(3, 5)
    measured = MeasuredClassifier(old(BODY(X)))
    model = nn.ModuleList([BODY, old, new])
    assert measured.grown(found(new(BODY(X))), 2, model.parameters()) is None
    assert measured.grown(found(new(BODY(X)), old(BODY(X))), 2, [*new.parameters()]) is None


def test_the_same_width_has_not_grown():
    old = nn.Linear(3, 2)
    measured = MeasuredClassifier(old(BODY(X)))
    assert measured.grown(found(old(BODY(X))), 2, old.parameters()) is None
