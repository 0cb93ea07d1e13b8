"""Optimizers that run the backward passes themselves, in a closure: what steps counts, and is compared with what was measured."""

from __future__ import annotations

import copy
import warnings
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens import Lens, Run
from gradlens.guards.warning import GradlensWarning
from tests.engines.zoo import GROUPS
from tests.lens.oracle import apart, gradient, gram, same
from tests.lens.surgery import InClosure, Net, Training, mean, part_of
from tests.lens.surgery_programs import pcgrad
from tests.lens.training import batches, state

pytestmark = pytest.mark.usefixtures("one_thread")


def test_surgery_in_the_closure_of_an_optimizer_of_several_evaluations(tmp_path) -> None:
    """The last evaluation is measured, with all its passes."""
    measured, plain = Net(), Net()
    optimizers = [torch.optim.LBFGS(m.parameters(), lr=0.3, max_iter=3) for m in (measured, plain)]
    with (
        warnings.catch_warnings(),
        Lens(measured, GROUPS, optimizer=optimizers[0], every=1, engine="masked", strict=True) as lens,
    ):
        warnings.simplefilter("ignore", GradlensWarning)  # that it was projected
        for x, y in batches(3, rows=24):
            evaluations: list[Net] = []

            def closure(t: Training, x: Tensor = x, y: Tensor = y, evaluations: list[Net] = evaluations) -> Tensor:
                if t.lens is not None:
                    evaluations.append(copy.deepcopy(t.model))
                pcgrad(t, x, y)
                return F.cross_entropy(t.model(x).detach(), y)

            for t in (InClosure(lens, measured, optimizers[0]), InClosure(None, plain, optimizers[1])):
                t.optimizer.step(partial(closure, t))
            assert len(evaluations) == 3
            assert lens.last is not None
            vectors = [gradient(evaluations[-1], partial(part_of, ids, mean, x=x, y=y)) for ids in GROUPS.classes]
            assert apart(lens.last.gram[: len(GROUPS), : len(GROUPS)], gram(vectors)) < 1e-4
            assert lens.last.counts.tolist() == [torch.isin(y, torch.tensor(ids)).sum() for ids in GROUPS.classes]
    assert same(state(measured, optimizers[0]), state(plain, optimizers[1]))


class Decaying(torch.optim.Optimizer):
    """Adds its weight decay to .grad itself, as many optimizers outside of torch do."""

    def __init__(self, params, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    def step(self, closure=None):
        loss = closure()
        with torch.no_grad():
            for param in self.param_groups[0]["params"]:
                param.grad.add_(param, alpha=0.3)
                param.sub_(param.grad, alpha=self.param_groups[0]["lr"])
        return loss


def train(kind: type[torch.optim.Optimizer], folder, change) -> tuple[Run, list[str]]:
    model = Net()
    optimizer = kind(model.trunk.parameters(), lr=0.1)
    with (
        warnings.catch_warnings(record=True) as said,
        Lens(model, GROUPS, optimizer=optimizer, every=1, out=folder) as lens,
    ):
        warnings.simplefilter("always")
        for x, y in batches(3, rows=24):

            def closure(x: Tensor = x, y: Tensor = y) -> Tensor:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), y)
                lens.backward(loss, y)
                change(model.trunk)
                return loss

            optimizer.step(closure)
    run = Run(folder)
    assert run.steps.tolist() == [0, 1, 2]
    return run, [str(w.message) for w in said if issubclass(w.category, GradlensWarning)]


def clip_by_value(model: nn.Module) -> None:
    nn.utils.clip_grad_value_(model.parameters(), 1e-3)


def test_another_direction_is_said(tmp_path) -> None:
    run, said = train(torch.optim.SGD, tmp_path / "run", clip_by_value)
    assert len(said) == 1
    assert "what the optimizer steps on is not what was measured" in said[0]
    assert [event["step"] for event in run.events if event["kind"] == "stepped"] == [0, 1, 2]


def test_another_scale_is_logged(tmp_path) -> None:
    factors: list[float] = []

    def clip(model: nn.Module) -> None:
        factors.append(0.05 / float(nn.utils.clip_grad_norm_(model.parameters(), 0.05)))

    run, said = train(torch.optim.SGD, tmp_path / "run", clip)
    assert said == []
    scales = [event["scale"] for event in run.events if event["kind"] == "stepped scale"]
    assert scales == pytest.approx(factors, rel=1e-3)


@pytest.mark.parametrize("kind", [torch.optim.SGD, Decaying])
def test_an_untouched_gradient_says_nothing(kind: type[torch.optim.Optimizer], tmp_path) -> None:
    """Also where the optimizer writes to .grad by itself."""
    run, said = train(kind, tmp_path / "run", lambda _: None)
    assert said == []
    assert not [event for event in run.events if event["kind"].startswith("stepped")]
