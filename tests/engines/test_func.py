"""What the func engine does besides the zoo: pulls back in parts, and refuses what it cannot repeat."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gradlens.autograd.cotangents import AnchoredLosses
from gradlens.batch.rows import group_rows
from gradlens.engines.func import FuncEngine
from gradlens.engines.protocol import EngineRefusal
from gradlens.groups import ClassGroups

GROUPS = ClassGroups({"head": [0, 1], "tail": [2]}, 3)
LABELS = torch.tensor([0, 2, 1, 0, 2])
X = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def measure(
    engine: FuncEngine, model: nn.Module, anchor_of: Callable[[torch.Tensor], torch.Tensor] = lambda out: out
) -> list[list[torch.Tensor]]:
    engine.arm()
    anchor = anchor_of(model(X))
    loss = F.cross_entropy(anchor, LABELS)
    return engine.measure(
        AnchoredLosses([loss], [anchor]), group_rows(LABELS, GROUPS, anchor), [(0, 0), (0, 1)], loss.backward
    )


@pytest.mark.parametrize("chunk_size", [None, 1])
def test_groups_add_up_to_the_gradient(chunk_size):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    params = list(model.parameters())
    # A temperature comes after the model's output.
    head, tail = measure(FuncEngine(model, params, chunk_size=chunk_size), model, lambda out: out / 0.5)
    inside = torch.isin(LABELS, torch.tensor([0, 1]))
    truth = torch.autograd.grad(F.cross_entropy(model(X)[inside] / 0.5, LABELS[inside], reduction="sum") / 5, params)
    for a, b, param, expected in zip(head, tail, params, truth, strict=True):
        torch.testing.assert_close(a, expected)
        torch.testing.assert_close(a + b, param.grad)
    assert not model._forward_hooks
    assert not model._forward_pre_hooks


class Noisy(nn.Linear):
    """Counts how often it ran, and computes something else each time."""

    calls = 0

    def forward(self, x):
        Noisy.calls += 1
        return super().forward(x) + Noisy.calls


def test_another_output_in_the_second_pass_is_refused():
    model = Noisy(4, 3).double()
    with pytest.raises(EngineRefusal, match="running Noisy again gave another output"):
        measure(FuncEngine(model, list(model.parameters())), model)
    assert model.weight.grad is None  # the pass of the training has not run


def test_parameters_outside_of_the_model_are_refused():
    model = nn.Linear(4, 3).double()
    with pytest.raises(EngineRefusal, match=r"a parameter of shape \[7\] is not in the model \(Linear\)"):
        FuncEngine(model, [nn.Parameter(torch.zeros(7))]).arm()


def test_two_forward_passes_are_refused():
    model = nn.Linear(4, 3).double()
    engine = FuncEngine(model, list(model.parameters()))
    with pytest.raises(EngineRefusal, match="ran 2 times before this backward, not once"):
        measure(engine, model, lambda out: out + model(X))


def test_an_anchor_that_does_not_come_from_the_model_is_refused():
    model = nn.Linear(4, 3).double()
    with pytest.raises(EngineRefusal, match="the anchor is not computed from the output of Linear"):
        measure(FuncEngine(model, list(model.parameters())), model, lambda out: out.detach() + X @ model.weight.T)
