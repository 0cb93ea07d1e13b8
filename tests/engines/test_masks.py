"""Gradients at the anchors, masked to a group: by the labels of each loss call where calls have their own."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch.autograd.graph import get_gradient_edge

from gradlens.autograd.cotangents import AnchoredLosses
from gradlens.batch.labelled import Labelled, LossTerm, rows_of
from gradlens.batch.rows import group_rows
from gradlens.engines.masks import GroupCotangents
from gradlens.groups import ClassGroups

GROUPS = ClassGroups({"head": [0], "tail": [1]}, 3)


def logits() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(4, 3, dtype=torch.float64, requires_grad=True) * 1


def test_rows_of_the_group_keep_their_gradient_and_others_are_zero():
    anchor, labels = logits(), torch.tensor([0, 1, 2, 0])
    loss = anchor.square().sum()
    ((head,), (tail,)) = map(
        GroupCotangents(AnchoredLosses([loss], [anchor]), 0, group_rows(labels, GROUPS, anchor)).of, (0, 1)
    )
    truth = 2 * anchor.detach()
    torch.testing.assert_close(head, truth * torch.tensor([[1.0], [0.0], [0.0], [1.0]]))
    torch.testing.assert_close(tail, truth * torch.tensor([[0.0], [1.0], [0.0], [0.0]]))


def test_an_anchor_that_the_loss_does_not_reach_has_none():
    anchor, other = logits(), logits()
    rows = group_rows(torch.zeros(4).long(), GROUPS, anchor)
    found = GroupCotangents(AnchoredLosses([anchor.sum()], [anchor, other]), 0, rows).of(0)
    assert found[1] is None
    assert torch.equal(found[0], torch.ones(4, 3, dtype=torch.float64))


def test_each_loss_call_goes_by_its_own_labels():
    anchor = logits()
    first, second = torch.tensor([0, 0, 1, 2]), torch.tensor([1, 0, 0, 2])
    a, b = F.cross_entropy(anchor, first), F.cross_entropy(anchor, second)
    besides = anchor.square().sum()  # by hand: goes by the anchor's own labels
    loss = 0.7 * a + 0.3 * b + besides
    terms = tuple(LossTerm(get_gradient_edge(call), labels, -100) for call, labels in ((a, first), (b, second)))
    rows = rows_of([Labelled(anchor, first, terms=terms)], GROUPS)

    def masked(loss_of: torch.Tensor, labels: torch.Tensor, group: int) -> torch.Tensor:
        (gradient,) = torch.autograd.grad(loss_of, anchor, retain_graph=True)
        return gradient * (labels == group)[:, None]

    cotangents = GroupCotangents(AnchoredLosses([loss], [anchor]), 0, rows)
    for group in (0, 1):
        truth = masked(0.7 * a, first, group) + masked(0.3 * b, second, group) + masked(besides, first, group)
        torch.testing.assert_close(cotangents.of(group)[0], truth)
