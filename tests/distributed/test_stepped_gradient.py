"""What the optimizer steps on against what was measured, in several processes whose wrapper averages the gradients."""

from __future__ import annotations

import warnings

import pytest
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from gradlens import Lens, Run
from gradlens.guards.warning import GradlensWarning
from tests.distributed.processes import together
from tests.distributed.trainings import batches, groups, network, optimizer_of, shard


def train(wrap, change, folder) -> tuple[list[str], list[float]]:
    """Trains with ``change`` before each step; returns what was said in this process, and what ``change`` returned."""
    model = wrap(network())
    optimizer = optimizer_of(model.parameters())
    found = []
    with (
        warnings.catch_warnings(record=True) as said,
        Lens(model, groups(), optimizer=optimizer, every=1, out=folder, strict=True) as lens,
    ):
        warnings.simplefilter("always")
        for step in batches(micro=2):
            optimizer.zero_grad()
            for number, parts in enumerate(step):
                x, y = parts[dist.get_rank()]
                if isinstance(model, DistributedDataParallel):
                    model.require_backward_grad_sync = number == 1
                lens.backward(F.cross_entropy(model(x), y), y)
            found.append(change(model))
            optimizer.step()
    return [str(w.message) for w in said if issubclass(w.category, GradlensWarning)], found


def clip(model: nn.Module) -> float:
    return 0.05 / float(nn.utils.clip_grad_norm_(model.parameters(), 0.05))


def clip_by_value(model: nn.Module) -> float:
    for p in model.parameters():
        p.grad.clamp_(-1e-3, 1e-3)
    return 0.0


def keep(_: nn.Module) -> float:
    return 1.0


@pytest.mark.parametrize("wrap", [DistributedDataParallel, shard])
@pytest.mark.parametrize("change", [clip, clip_by_value, keep])
def test_a_scale_is_logged_and_another_direction_said(tmp_path, wrap, change) -> None:
    found = together(tmp_path, lambda: train(wrap, change, tmp_path / "run"))

    run = Run(tmp_path / "run")
    assert run.steps.tolist() == [0, 1, 2, 3]
    lines = [text for text in found[0][0] if "what the optimizer steps on is not what was measured" in text]
    assert len(lines) == (change is clip_by_value)
    assert found[1][0] == []
    scales = [event["scale"] for event in run.events if event["kind"] == "stepped scale"]
    assert scales == (pytest.approx(found[0][1], rel=1e-3) if change is clip else [])
