"""The rows of a group, taken out of a batch and weighted, against indexing by hand."""

from __future__ import annotations

import torch

from gradlens.batch.rows import group_rows
from gradlens.batch.selection import Selection, select
from gradlens.groups import ClassGroups

GROUPS = ClassGroups({"head": [0, 1], "tail": [2]}, 3)


def test_rows_of_hard_labels_have_no_weights():
    labels = torch.tensor([2, 0, 1, 2])
    tail = select(group_rows(labels, GROUPS, torch.zeros(4, 3)), 1)
    assert tail.index.tolist() == [0, 3]
    assert tail.weight is None
    batch = torch.arange(8.0).reshape(4, 2)
    assert tail.take(batch).tolist() == [[0.0, 1.0], [6.0, 7.0]]
    assert torch.equal(tail.weighted(batch), tail.take(batch))


def test_rows_of_soft_labels_are_weighted_by_their_mass():
    labels = torch.tensor([[0.5, 0.25, 0.25], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    head = select(group_rows(labels, GROUPS, torch.zeros(3, 3)), 0)
    assert head.index.tolist() == [0, 2]
    assert head.weight.tolist() == [0.75, 1.0]
    batch = torch.tensor([[[4.0]], [[5.0]], [[6.0]]])
    assert head.weighted(batch).tolist() == [[[3.0]], [[6.0]]]


def test_weighted_rows_of_half_precision_are_computed_in_single():
    selection = Selection(torch.tensor([0]), torch.tensor([1 / 3]))
    found = selection.weighted(torch.tensor([1.0], dtype=torch.bfloat16))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.tensor([1 / 3]))
