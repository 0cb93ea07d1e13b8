"""The masked engine: gradients of groups by component, over an own graph, which stays for the training's pass."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from gradlens.autograd.cotangents import AnchoredLosses
from gradlens.batch.rows import group_rows
from gradlens.engines.masked import MaskedEngine, pull_back
from gradlens.groups import ClassGroups

GROUPS = ClassGroups({"head": [0, 1], "tail": [2]}, 3)
LABELS = torch.tensor([0, 2, 1, 0, 2])


def forward() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3)).double()
    return model, model(torch.randn(5, 4, dtype=torch.float64))


def test_each_group_and_component_has_its_own_gradient():
    model, logits = forward()
    params = list(model.parameters())
    each = [F.cross_entropy(logits, LABELS, reduction="none"), logits.square().sum(1)]
    losses = [rows.mean() for rows in each]
    wanted = [(0, 1), (1, 0), (1, 1)]

    found = pull_back(AnchoredLosses(losses, [logits]), group_rows(LABELS, GROUPS, logits), wanted, params)

    for vector, (component, group) in zip(found, wanted, strict=True):
        inside = torch.isin(LABELS, torch.tensor(GROUPS.classes[group]))
        truth = torch.autograd.grad(each[component][inside].sum() / 5, params, retain_graph=True)
        for gradient, expected in zip(vector, truth, strict=True):
            torch.testing.assert_close(gradient, expected)


def test_a_loss_that_does_not_reach_the_anchor_gives_nothing():
    model, logits = forward()
    params = list(model.parameters())
    penalty = sum(param.square().sum() for param in params)
    rows = group_rows(LABELS, GROUPS, logits)
    assert pull_back(AnchoredLosses([penalty], [logits]), rows, [(0, 0)], params) == [[None] * len(params)]
    assert pull_back(AnchoredLosses([logits.sum()], [logits]), rows, [(0, 0)], []) == [[]]


def test_the_backward_pass_of_the_training_comes_last():
    model, logits = forward()
    loss = F.cross_entropy(logits, LABELS)
    params = list(model.parameters())
    rows = group_rows(LABELS, GROUPS, logits)
    seen = []

    def backward() -> None:
        seen.append([param.grad for param in params])
        loss.backward()

    head, tail = MaskedEngine(params).measure(AnchoredLosses([loss], [logits]), rows, [(0, 0), (0, 1)], backward)

    assert seen == [[None] * len(params)]
    for a, b, param in zip(head, tail, params, strict=True):
        torch.testing.assert_close(a + b, param.grad)
