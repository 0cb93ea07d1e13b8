"""Several backward passes with .grad zeroed between them: whatever the optimizer steps on counts, and nothing else.

Each program trains one step. The oracle are the samples' terms of the losses that must count, differentiated in float64 for each
group by itself at the weights before the step.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens import Run
from gradlens.guards.warning import GradlensWarning
from gradlens.tracking.attach.tracked_lens import TrackedLens
from tests.engines.zoo import GROUPS
from tests.lens import discarded_passes, surgery_programs
from tests.lens.discarded_passes import moved
from tests.lens.oracle import apart, gradient, gram, same
from tests.lens.surgery import PARTS, Case, InClosure, Net, Training, combined, mean, of, part_of
from tests.lens.surgery_programs import pcgrad
from tests.lens.training import batches, state

pytestmark = pytest.mark.usefixtures("one_thread")

ENGINES = ("masked", "split", "func")
CASES = [*surgery_programs.CASES, *discarded_passes.CASES]


@pytest.mark.parametrize(
    ("engine", "kind"),
    [*((engine, Training) for engine in ENGINES), ("masked", InClosure)],
    ids=[*ENGINES, "in a closure"],
)
@pytest.mark.parametrize("case", CASES, ids=[case.program.__name__ for case in CASES])
def test_what_steps_counts_and_nothing_else(case: Case, engine: str, kind: type[Training], tmp_path) -> None:
    measured, plain = Net(), Net()
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9) for m in (measured, plain)]
    with (
        warnings.catch_warnings(record=True) as said,
        TrackedLens(
            measured, GROUPS, optimizer=optimizers[0], every=1, engine=engine, out=tmp_path / "run", strict=True
        ) as lens,
    ):
        warnings.simplefilter("always")
        for x, y in batches(4, rows=24):
            before = copy.deepcopy(measured)
            kind(lens, measured, optimizers[0]).run(case.program, x, y)
            kind(None, plain, optimizers[1]).run(case.program, x, y)
            m = lens.last
            assert m is not None
            vectors = [gradient(before, partial(part_of, ids, case.terms, x=x, y=y)) for ids in GROUPS.classes]
            assert apart(m.gram[: len(GROUPS), : len(GROUPS)], gram(vectors)) < 1e-4
            assert m.counts.tolist() == [case.times * torch.isin(y, torch.tensor(ids)).sum() for ids in GROUPS.classes]
            hits = before(x).argmax(1) == y if case.terms is not moved else None
            if hits is not None:
                assert m.correct.tolist() == [case.times * of(ids, hits, y).sum() for ids in GROUPS.classes]
            assert m.residual < 1e-5
            if case.rest:
                truth = gradient(before, lambda twin: 1e-2 * sum(p.square().sum() for p in twin.parameters()))
                assert m.norm("rest") == pytest.approx(gram([truth])[0, 0] ** 0.5, rel=1e-5)
    assert same(state(measured, optimizers[0]), state(plain, optimizers[1]))
    assert Run(tmp_path / "run").steps.tolist() == [0, 1, 2, 3]
    directions = [str(w.message) for w in said if issubclass(w.category, GradlensWarning)]
    assert all("what the optimizer steps on" in text or "engine" in text for text in directions)
    if case.says is not None:
        assert any("what the optimizer steps on" in text for text in directions) == case.says


def trained(program: Callable[[Training, Tensor, Tensor], None], **options: Any) -> tuple[TrackedLens, list[str], bool]:
    """Trains three steps with a lens and without; returns the lens, what was said, and whether both ended alike."""
    measured, plain = Net(), Net()
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9) for m in (measured, plain)]
    with (
        warnings.catch_warnings(record=True) as said,
        TrackedLens(measured, GROUPS, optimizer=optimizers[0], every=1, **options) as lens,
    ):
        warnings.simplefilter("always")
        for x, y in batches(3, rows=24):
            program(Training(lens, measured, optimizers[0]), x, y)
            program(Training(None, plain, optimizers[1]), x, y)
    alike = same(state(measured, optimizers[0]), state(plain, optimizers[1]))
    return lens, [str(w.message) for w in said if issubclass(w.category, GradlensWarning)], alike


@pytest.mark.parametrize("update", [False, True])
def test_the_scale_of_a_gradient_scaler_is_left_out(update: bool, tmp_path) -> None:
    scalers = {alone: torch.amp.GradScaler("cpu", init_scale=1024.0) for alone in (True, False)}
    before: list[Net] = []

    def scaled(t: Training, x: Tensor, y: Tensor) -> None:
        scaler = scalers[t.lens is None]
        before.append(copy.deepcopy(t.model))
        out = t.model(x)
        each = F.cross_entropy(out, y, reduction="none") / len(y)
        passes = [t.backward(scaler.scale(of(ids, each, y).sum()), y, out) for ids in PARTS]
        for p, g in zip(t.params, combined(passes, (1, 1)), strict=True):
            p.grad = g
        scaler.step(t.optimizer)
        scaler.update()

    lens, said, alike = trained(scaled, out=tmp_path / "run", update=update)
    assert alike
    assert said == []
    assert lens.last is not None
    assert not [event for event in Run(tmp_path / "run").events if event["kind"] == "stepped scale"]
    x, y = batches(3, rows=24)[-1]
    vectors = [gradient(before[-1], partial(part_of, ids, mean, x=x, y=y)) for ids in GROUPS.classes]
    assert apart(lens.last.gram[: len(GROUPS), : len(GROUPS)], gram(vectors)) < 1e-4


def clips_each_pass(t: Training, x: Tensor, y: Tensor) -> None:
    """Clips the gradient of each group's own batch before the next pass takes it away."""
    total = [torch.zeros_like(p) for p in t.params]
    for ids in PARTS:
        chosen = torch.isin(y, torch.tensor(ids))
        t.optimizer.zero_grad()
        out = t.model(x[chosen])
        t.added(F.cross_entropy(out, y[chosen]), y[chosen], out, retain=False)
        nn.utils.clip_grad_norm_(t.params, 0.05)
        total = [a if p.grad is None else a + p.grad for a, p in zip(total, t.params, strict=True)]
    t.step(total)


def zeroes_in_place_between_graphs(t: Training, x: Tensor, y: Tensor) -> None:
    total = [torch.zeros_like(p) for p in t.params]
    for ids in PARTS:
        chosen = torch.isin(y, torch.tensor(ids))
        t.optimizer.zero_grad(set_to_none=False)
        out = t.model(x[chosen])
        passed = t.added(F.cross_entropy(out, y[chosen]), y[chosen], out, retain=False)
        total = [a + g for a, g in zip(total, passed, strict=True)]
    t.step(total)


@pytest.mark.parametrize("program", [clips_each_pass, zeroes_in_place_between_graphs])
def test_passes_that_are_written_to_before_they_are_zeroed_count_from_the_second_step_on(program, tmp_path) -> None:
    before: list[Net] = []

    def noted(t: Training, x: Tensor, y: Tensor) -> None:
        before.append(copy.deepcopy(t.model))
        program(t, x, y)

    _, _, alike = trained(noted, engine="masked", out=tmp_path / "run")
    assert alike
    run = Run(tmp_path / "run")
    # The first of these steps is left out: a part of it had gone when it was needed.
    assert run.steps.tolist() == [1, 2]
    for position, (x, y) in enumerate(batches(3, rows=24)[1:]):
        own = [torch.isin(y, torch.tensor(ids)) for ids in PARTS]

        def loss_of(ids, model, x=x, y=y, own=own):
            each = F.cross_entropy(model(x.double()), y, reduction="none")
            return sum((of(ids, each, y) * chosen).sum() / chosen.sum() for chosen in own)

        vectors = [gradient(before[2 + 2 * position], partial(loss_of, ids)) for ids in GROUPS.classes]
        assert apart(run.gram()[position, : len(GROUPS), : len(GROUPS)], gram(vectors)) < 1e-4


def test_gradients_are_let_go_when_the_step_is_over() -> None:
    lens, _, alike = trained(pcgrad)
    assert alike
    meter = lens._stepper.current.meter
    assert meter.passes.totals == ()
    assert meter.passes.sums.total is None
    assert lens._stepper._stepped_gradient._passes == ()


@pytest.mark.parametrize(
    "broken", ["gradlens.measure.stepped_gradient.step_together", "gradlens.measure.step_passes.StepPasses._take_away"]
)
def test_a_fault_of_ours_does_not_reach_the_training(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise ArithmeticError("ours")

    monkeypatch.setattr(broken, fails)
    lens, said, alike = trained(pcgrad)
    assert alike
    assert lens.last is None
    assert any("could not be measured (ArithmeticError: ours)" in text for text in said)


def test_returned_gradients_are_compared_with_what_steps(tmp_path) -> None:
    """What lies in .grad is that of the step before."""

    def by_autograd(t: Training, x: Tensor, y: Tensor) -> None:
        out, passes = t.model(x), []
        each = F.cross_entropy(out, y, reduction="none") / len(y)
        for loss in (of(ids, each, y).sum() for ids in PARTS):
            found: list[Any] = []

            def compute(loss: Tensor = loss, found: list[Any] = found) -> None:
                found.extend(torch.autograd.grad(loss, t.params, retain_graph=True, allow_unused=True))

            if t.lens is None:
                compute()
            else:
                t.lens.measured_backward(
                    loss,
                    anchors=[out],
                    labels=y,
                    backward=compute,
                    taken=lambda found=found: zip(t.params, found, strict=True),
                )
            passes.append([torch.zeros_like(p) if g is None else g for p, g in zip(t.params, found, strict=True)])
        for p, g in zip(t.params, combined(passes, (1, 1)), strict=True):
            p.grad = g
        t.optimizer.step()

    _, said, alike = trained(by_autograd, out=tmp_path / "run")
    assert alike
    assert said == []
    run = Run(tmp_path / "run")
    assert len(run) == 3
    assert not [event for event in run.events if event["kind"].startswith("stepped")]
