"""What the optimizer steps on against what was measured: another scale is logged, another direction said."""

from __future__ import annotations

import importlib
import sys
import warnings

import pytest
import torch
from torch import nn

from gradlens import Lens
from gradlens.guards.warning import GradlensWarning
from gradlens.measure.stepped_gradient import _signature
from gradlens.runlog import Run
from tests.engines.zoo import GROUPS
from tests.lens.training import batches, loss_of, mlp


def train(folder, between, *, scaler=None, steps=3) -> tuple[Run, list[str], list[float]]:
    """Trains with ``between`` before each step; returns the run, what was said, and what ``between`` returned."""
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1, momentum=0.9)
    found = []
    with (
        warnings.catch_warnings(record=True) as said,
        Lens(model, GROUPS, optimizer=optimizer, every=1, out=folder, update=scaler is None) as lens,
    ):
        warnings.simplefilter("always")
        for x, y in batches(steps):
            loss = loss_of(model, x, y)
            lens.backward(loss if scaler is None else scaler.scale(loss), y)
            if scaler is not None:
                scaler.unscale_(optimizer)
            found.append(between(model))
            optimizer.step() if scaler is None else scaler.step(optimizer)
            if scaler is not None:
                scaler.update()
            optimizer.zero_grad()
    own = [str(w.message) for w in said if issubclass(w.category, GradlensWarning)]
    return Run(folder), own, found


def clip(model: nn.Module) -> float:
    return 0.05 / float(nn.utils.clip_grad_norm_(model.parameters(), 0.05))


def scales(run: Run) -> list[float]:
    return [event["scale"] for event in run.events if event["kind"] == "stepped scale"]


@pytest.mark.parametrize("scaled", [False, True])
def test_clipping_by_norm_is_a_scale(scaled, tmp_path):
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0) if scaled else None
    run, said, expected = train(tmp_path / "run", clip, scaler=scaler)
    assert said == []
    assert scales(run) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("scaled", [False, True])
def test_an_untouched_gradient_says_nothing(scaled, tmp_path):
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0) if scaled else None
    run, said, _ = train(tmp_path / "run", lambda _: 1.0, scaler=scaler)
    assert said == scales(run) == []


def project(model: nn.Module) -> None:
    for p in model.parameters():
        p.grad = p.grad - p.grad.mean()


def turn(model: nn.Module) -> None:
    for p in model.parameters():
        p.grad[0] *= -1


def drop(model: nn.Module) -> None:
    next(model.parameters()).grad = None


@pytest.mark.parametrize(
    "change", [project, turn, drop, lambda model: nn.utils.clip_grad_value_(model.parameters(), 1e-3)]
)
def test_another_direction_is_said_once(change, tmp_path):
    run, said, _ = train(tmp_path / "run", change)
    assert len(said) == 1
    assert "what the optimizer steps on is not what was measured" in said[0]
    assert [event["step"] for event in run.events if event["kind"] == "stepped"] == [0, 1, 2]


def test_gradients_of_every_kind_are_told_by_their_norm_and_sum():
    gradients = [
        torch.tensor([[3.0, 4.0]]),
        None,
        torch.tensor([1.0, 2.0, -2.0], dtype=torch.float64),
        torch.tensor([3.0 + 4.0j]),
        torch.sparse_coo_tensor([[0, 0]], [1.0, 3.0], (5,)),
        torch.tensor([6.0, -8.0], dtype=torch.bfloat16),
        torch.empty(0),
    ]
    norms = [5.0, 0.0, 3.0, 5.0, 4.0, 10.0, 0.0]
    # Over the root of the number of entries: of a complex number two, of a sparse gradient those that are stored.
    sums = [7 / 2**0.5, 0.0, 1 / 3**0.5, 7 / 2**0.5, 4.0, -2 / 2**0.5, 0.0]
    assert torch.allclose(_signature(gradients), torch.tensor(norms + sums))
    assert _signature([gradients[1], gradients[6]]) is None


def test_no_file_makes_a_tensor_when_it_is_imported():
    """gradlens is imported inside the script, maybe under ``set_default_device("meta")`` or a mode for fake tensors."""
    importlib.import_module("gradlens.tracking.watch.patches")
    own = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "gradlens"}
    assert "gradlens.measure.stepped_gradient" in own
    assert [
        name for name, module in own.items() if any(isinstance(v, torch.Tensor) for v in vars(module).values())
    ] == []
