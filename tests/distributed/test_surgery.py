"""Gradient surgery in several processes: each pass counts, whether gradients are averaged before they are combined or after.

The oracle is brute force in one process over the global batch, at the weights before each step.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from gradlens import Lens, Run
from gradlens.guards.warning import GradlensWarning
from tests.distributed import oracle
from tests.distributed.processes import together
from tests.distributed.trainings import GROUPS, batches, groups, network, optimizer_of, shard
from tests.lens.surgery import combined, projected

PARTS = ((0, 3), (1, 2, 4))
STEPS = batches(sizes=(8, 5))


class Training:
    """One process's model, optimizer and lens, or none."""

    def __init__(self, wrap: Callable[[nn.Module], nn.Module], folder, *, lens: bool) -> None:
        self.inner = network()
        self.model = wrap(self.inner)
        self.optimizer = optimizer_of(self.model.parameters())
        self.params = list(self.model.parameters())
        self.lens = (
            Lens(self.model, groups(), optimizer=self.optimizer, every=1, out=folder, engine="masked", strict=True)
            if lens
            else None
        )

    def passed(self, loss: Tensor, out: Tensor, y: Tensor, *, retain: bool = False) -> list[Tensor]:
        """Runs a pass on fresh gradients, and returns copies of them."""
        self.optimizer.zero_grad()
        if self.lens is None:
            loss.backward(retain_graph=retain)
        else:
            self.lens.backward(loss, y, out, retain_graph=retain)
        return [param.grad.clone() for param in self.params]

    def give(self, gradients: Sequence[Tensor]) -> None:
        for param, gradient in zip(self.params, gradients, strict=True):
            param.grad = gradient.clone()

    def unsynced(self) -> Any:
        inside = isinstance(self.model, DistributedDataParallel)
        return self.model.no_sync() if inside else contextlib.nullcontext()


def losses(out: Tensor, y: Tensor) -> list[Tensor]:
    each = F.cross_entropy(out, y, reduction="none") / len(y)
    return [each[torch.isin(y, torch.tensor(ids))].sum() for ids in PARTS]


def averaged(gradients: Sequence[Tensor]) -> list[Tensor]:
    for gradient in gradients:
        dist.all_reduce(gradient)
        gradient /= dist.get_world_size()
    return list(gradients)


def forward_passes_of_their_own(t: Training, x: Tensor, y: Tensor) -> None:
    """The wrapper averages each pass."""
    passes = []
    for part in range(2):
        out = t.model(x)
        passes.append(t.passed(losses(out, y)[part], out, y))
    t.give(combined(passes, (1.0, 0.5)))


def averaged_before(t: Training, x: Tensor, y: Tensor) -> None:
    """The script averages the gradient of each pass over one graph."""
    with t.unsynced():
        out = t.model(x)
        passes = [averaged(t.passed(loss, out, y, retain=True)) for loss in losses(out, y)]
    t.give(projected(passes))


def averaged_after(t: Training, x: Tensor, y: Tensor) -> None:
    """Each process projects its own gradients, and what steps is their average."""
    with t.unsynced():
        out = t.model(x)
        passes = [t.passed(loss, out, y, retain=True) for loss in losses(out, y)]
    t.give(averaged(projected(passes)))


def looks_first(t: Training, x: Tensor, y: Tensor) -> None:
    """The gradient of one loss is only looked at; the total steps."""
    for part in (losses, lambda out, y: [F.cross_entropy(out, y)]):
        out = t.model(x)
        t.passed(part(out, y)[0], out, y)


def in_closure(t: Training, x: Tensor, y: Tensor) -> None:
    t.optimizer.step(lambda: forward_passes_of_their_own(t, x, y))


@dataclass(frozen=True)
class Case:
    wrap: Callable[[nn.Module], nn.Module]
    program: Callable[[Training, Tensor, Tensor], None]
    steps: bool = True
    times: int = 1


def by_hand(model: nn.Module) -> nn.Module:
    return model


CASES = {
    "DDP": Case(DistributedDataParallel, forward_passes_of_their_own, times=2),
    "DDP in a closure": Case(DistributedDataParallel, in_closure, steps=False, times=2),
    "DDP, averaged by hand before": Case(DistributedDataParallel, averaged_before),
    "DDP, averaged by hand after": Case(DistributedDataParallel, averaged_after),
    "by hand before": Case(by_hand, averaged_before),
    "by hand after": Case(by_hand, averaged_after),
    "fully_shard": Case(shard, forward_passes_of_their_own, times=2),
    "looks first": Case(DistributedDataParallel, looks_first),
}


def train(case: Case, folder, *, lens: bool) -> dict[str, Any]:
    t = Training(case.wrap, folder, lens=lens)
    found: dict[str, Any] = {"before": [], "measured": []}
    for step in STEPS:
        x, y = step[0][dist.get_rank()]
        found["before"].append(weights(t))
        case.program(t, x, y)
        if case.steps:
            t.optimizer.step()
        t.optimizer.zero_grad()
        if t.lens is not None:
            found["measured"].append(t.lens.last)
    if t.lens is not None:
        t.lens.close()
    return found | {"weights": weights(t)}


def weights(t: Training) -> dict[str, Tensor]:
    state = t.inner.state_dict()
    return {name: (v.full_tensor() if hasattr(v, "full_tensor") else v).clone() for name, v in state.items()}


def both(case: Case, folder) -> dict[str, Any]:
    warnings.simplefilter("ignore", GradlensWarning)  # that what steps was projected
    bare, found = train(case, None, lens=False), train(case, folder, lens=True)
    for name, value in bare["weights"].items():
        assert torch.equal(found["weights"][name], value), f"{name} differs from the training without a lens"
    return found


def expected(before: dict[str, Tensor], step: Any) -> np.ndarray:
    model = network()
    model.load_state_dict(before)
    return oracle.grams(model, [step], GROUPS, optimizer_of)[0][0]


@pytest.mark.parametrize("case", CASES)
def test_each_pass_counts(tmp_path, case) -> None:
    for rank, found in enumerate(together(tmp_path, lambda: both(CASES[case], tmp_path / "run"))):
        assert len(found["measured"]) == len(STEPS)
        for number, (measurement, before, step) in enumerate(
            zip(found["measured"], found["before"], STEPS, strict=True)
        ):
            assert measurement.step == number, (rank, number)
            truth = expected(before, step)
            np.testing.assert_allclose(measurement.gram[:2, :2], truth[:2, :2], rtol=1e-9, atol=1e-12 * truth.max())
            if number == 0 or CASES[case].wrap is not shard:  # shards are checked at times only
                assert measurement.residual < 1e-7
            labels = torch.cat([part[1] for part in step[0]])
            counts = [CASES[case].times * int(torch.isin(labels, torch.tensor(ids)).sum()) for ids in GROUPS]
            assert measurement.counts.tolist() == counts
    assert Run(tmp_path / "run").steps.tolist() == [0, 1, 2, 3]
