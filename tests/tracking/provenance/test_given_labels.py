"""What a target beside a prediction means, and whether labels are those of a batch."""

from __future__ import annotations

import pytest
import torch

from gradlens.tracking.provenance.given_labels import came_from, readings

Y = torch.tensor([0, 2, 1, 2])
HOT = torch.nn.functional.one_hot(Y, 3)
LEVELS = torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
SEVERAL = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
MASK = torch.arange(4 * 2 * 2).reshape(4, 2, 2) % 3
IMAGE = torch.zeros(4, 3, 2, 2)


@pytest.mark.parametrize(
    ("target", "prediction", "labels", "classes", "dim"),
    [
        (Y, torch.zeros(4, 8), Y, None, None),
        (Y.int(), torch.zeros(4), Y, None, None),
        (Y[:, None], torch.zeros(4, 8), Y, None, None),
        (HOT, torch.zeros(4, 3), Y, 3, None),
        (HOT.float(), torch.zeros(4, 3), Y, 3, None),
        (LEVELS, torch.zeros(4, 2), Y, 3, None),
        (SEVERAL, torch.zeros(4, 3), SEVERAL, 3, 1),
        (MASK, IMAGE, MASK, 3, 1),
        (MASK[:, None], IMAGE, MASK, 3, 1),
        (torch.nn.functional.one_hot(MASK, 3).movedim(3, 1), IMAGE, MASK, 3, 1),
        ((Y > 1).float(), torch.zeros(4), (Y > 1).long(), 2, None),
        ((Y > 1).float()[:, None], torch.zeros(4, 1), (Y > 1).long(), 2, None),
        ((MASK > 1).float()[:, None], IMAGE[:, :1], (MASK > 1).long(), 2, 1),
    ],
)
def test_targets_are_read(target, prediction, labels, classes, dim):
    found = readings(target, prediction)[-1]
    assert torch.equal(found.labels, labels)
    assert (found.classes, found.class_dim) == (classes, dim)


@pytest.mark.parametrize(
    ("target", "prediction"),
    [
        (torch.rand(4), torch.zeros(4)),
        (torch.rand(4, 3), torch.zeros(4, 3)),
        (torch.tensor([1.0, 3.0, 2.0, 5.0]), torch.zeros(4, 8)),
        ((Y > 1).float(), torch.zeros(4, 8)),
        (Y[:3], torch.zeros(4, 8)),
        (torch.tensor(3), torch.zeros(4)),
        (torch.zeros(4, 5, dtype=torch.long), torch.zeros(4, 8)),
    ],
)
def test_what_holds_no_classes_is_not_read(target, prediction):
    assert readings(target, prediction) == []


def test_a_row_of_one_mark_has_two_meanings():
    first = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert [(each.labels.tolist(), each.ranks) for each in readings(first, torch.zeros(2, 2))] == [
        ([0, 0], False),
        ([1, 1], True),
    ]


@pytest.mark.parametrize(
    "labels", [Y, Y[1:3], Y.repeat(2), Y.repeat_interleave(3), Y[3:], Y.int(), Y.clone()], ids=lambda y: str(y.tolist())
)
def test_a_part_of_a_batch_or_views_of_it_come_from_it(labels):
    assert came_from(labels, Y)


@pytest.mark.parametrize(
    "labels", [Y.flip(0), Y.roll(1), Y[[3, 0]], Y[:0], torch.cat([Y, Y.flip(0)]), Y.repeat(2)[1:-2], HOT]
)
def test_other_labels_do_not(labels):
    assert not came_from(labels, Y)
