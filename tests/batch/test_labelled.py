"""Anchors with labels of their own: counts, scores and the part outside of every group, worked by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.autograd.graph import get_gradient_edge

from gradlens.batch.labelled import Labelled, LossTerm, outside, rows_of, scores_of
from gradlens.groups import ClassGroups

GROUPS = ClassGroups({"head": [0, 1], "tail": [2]}, 4)  # class 3 is in no group


def test_counts_of_several_anchors_are_added_up_by_their_shares():
    first, second = torch.zeros(3, 4), torch.zeros(2, 4)
    rows = rows_of(
        [Labelled(first, torch.tensor([0, 2, 3])), Labelled(second, torch.tensor([1, -100]), share=0.5)], GROUPS
    )
    assert rows.counts == (1 + 0.5, 1.0)
    assert rows.untracked == 2  # class 3, and the ignored label
    assert len(rows.parts) == 2
    assert rows.weights.shape == (0, 2)


def test_each_row_may_have_a_share_of_its_own():
    shares = torch.tensor([0.25, 1.0, 0.5])
    rows = rows_of([Labelled(torch.zeros(3, 4), torch.tensor([0, 2, 1]), share=shares)], GROUPS)
    assert rows.counts == (0.25 + 0.5, 1.0)


def test_scores_are_those_of_all_anchors_that_count():
    torch.manual_seed(0)
    first, second, auxiliary = (torch.randn(n, 4, dtype=torch.float64) for n in (3, 2, 3))
    labels = torch.tensor([0, 2, 1]), torch.tensor([2, 0])
    items = [
        Labelled(first, labels[0]),
        Labelled(second, labels[1]),
        Labelled(auxiliary, labels[0], share=0.0),  # an auxiliary head counts no sample a second time
    ]
    anchors = [item.anchor for item in items]
    loss, hits = scores_of(anchors, labels[0], rows_of(items, GROUPS), GROUPS)

    logits, ids = torch.cat([first, second]), torch.cat(labels)
    each, right = F.cross_entropy(logits, ids, reduction="none"), logits.argmax(1) == ids
    for group, classes in enumerate(GROUPS.classes):
        members = torch.isin(ids, torch.tensor(classes))
        assert float(loss[group]) == pytest.approx(float(each[members].sum()))
        assert float(hits[group]) == float(right[members].sum())


def test_the_part_outside_of_all_groups():
    masses = torch.tensor([[0.5, 0.0, 0.25, 0.25], [0.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0]])
    anchor = torch.zeros(3, 4, requires_grad=True)
    term = LossTerm(get_gradient_edge(anchor.sum()), torch.tensor([3, 0, 3]), -100)
    (part,) = outside(rows_of([Labelled(anchor, masses, terms=(term,))], GROUPS)).parts
    assert part.rows.weights.tolist() == [[0.25], [1.0], [0.0]]
    ((_, own),) = part.terms
    assert own.weights.tolist() == [[1.0], [0.0], [1.0]]
