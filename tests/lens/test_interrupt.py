"""Signals in the middle of a measurement, whose handlers raise an error or close the lens; the script trains on."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from gradlens import Lens
from gradlens.guards.own_pass import _running
from gradlens.runlog import Run
from tests.engines.zoo import GROUPS
from tests.lens.training import batches, mlp


def acting(act: Callable[[], None], *, once: bool = True) -> Any:
    """Returns a Function that does nothing but call ``act`` in the next backward pass after ``due`` was set, or in every one."""

    class Acting(torch.autograd.Function):
        due = False

        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            if Acting.due:
                Acting.due = not once
                act()
            return grad

    return Acting


def interrupt() -> None:
    raise KeyboardInterrupt


Interrupted = acting(interrupt)
Signalled = acting(lambda: signal.raise_signal(signal.SIGUSR1))


@pytest.mark.parametrize("engine", ["masked", "split"])
def test_an_interrupt_in_a_pass_of_ours_leaves_the_next_steps_right(engine: str) -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    seen: list[tuple[int, float]] = []

    with Lens(model, GROUPS, optimizer=optimizer, every=1, engine=engine) as lens:
        for step, (x, y) in enumerate(batches(5)):
            optimizer.zero_grad()
            hidden = Interrupted.apply(model[:-1](x))
            logits = model[-1](hidden)
            Interrupted.due = step == 2
            try:
                lens.backward(F.cross_entropy(logits, y), y, outputs=logits)
            except KeyboardInterrupt:
                assert not _running
                optimizer.zero_grad()
            optimizer.step()
            assert lens.last is not None
            seen.append((lens.last.step, lens.last.residual))

    assert [step for step, _ in seen] == [0, 1, 1, 3, 4]
    assert all(residual < 1e-5 for _, residual in seen)


@pytest.fixture
def on_signal() -> Iterator[Callable[[Callable[[], None]], None]]:
    before = signal.getsignal(signal.SIGUSR1)
    yield lambda action: signal.signal(signal.SIGUSR1, lambda *_: action()) and None
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("engine", ["masked", "split"])
def test_a_handler_may_close_the_lens_in_a_pass_of_ours(
    engine: str, on_signal: Callable[[Callable[[], None]], None], tmp_path: Path
) -> None:
    weights = []
    for out in (None, tmp_path / "run"):
        model = mlp()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        lens = None if out is None else Lens(model, GROUPS, optimizer=optimizer, every=1, engine=engine, out=out)
        on_signal(lambda lens=lens: lens and lens.close("interrupted", "SIGUSR1"))
        for step, (x, y) in enumerate(batches(5)):
            optimizer.zero_grad()
            logits = model[-1](Signalled.apply(model[:-1](x)))
            Signalled.due = step == 2
            loss = F.cross_entropy(logits, y)
            lens.backward(loss, y, outputs=logits) if lens else loss.backward()
            optimizer.step()
        assert not optimizer._optimizer_step_pre_hooks
        assert not optimizer._optimizer_step_post_hooks
        weights.append(model.state_dict())

    assert all(torch.equal(weights[1][name], value) for name, value in weights[0].items())
    run = Run(tmp_path / "run")
    assert run.steps.tolist() == [0, 1]
    assert run.status.reason == "SIGUSR1"
    assert not [event for event in run.events if event["kind"] == "internal-error"]


class OutOfTime(Exception):
    """Raised by a handler."""


def out_of_time() -> None:
    raise OutOfTime


Failing = acting(out_of_time, once=False)


@pytest.mark.parametrize("engine", ["masked", "split"])
def test_what_a_handler_raises_in_a_pass_of_ours_reaches_the_script(
    engine: str, on_signal: Callable[[Callable[[], None]], None]
) -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    on_signal(out_of_time)
    lens = Lens(model, GROUPS, optimizer=optimizer, every=1, engine=engine)
    raised = []
    for step, (x, y) in enumerate(batches(7)):
        optimizer.zero_grad()
        logits = model[-1](Signalled.apply(model[:-1](x)))
        Signalled.due = step in (1, 3)
        try:
            lens.backward(F.cross_entropy(logits, y), y, outputs=logits)
        except OutOfTime:
            raised.append(step)
            continue
        optimizer.step()
    lens.close()

    assert raised == [1, 3]
    assert lens.last is not None
    assert lens.last.step == 4
    assert lens.last.residual < 1e-5


@pytest.mark.parametrize("engine", ["masked", "split"])
def test_a_step_whose_passes_all_fail_is_left_out(engine: str) -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    seen = []
    with Lens(model, GROUPS, optimizer=optimizer, every=1, engine=engine) as lens:
        for number, (x, y) in enumerate(batches(5)):
            optimizer.zero_grad()
            logits = model[-1](Failing.apply(model[:-1](x)))
            Failing.due = number == 2
            try:
                lens.backward(F.cross_entropy(logits, y), y, outputs=logits)
            except OutOfTime:
                continue
            finally:
                Failing.due = False
            optimizer.step()
            assert lens.last is not None
            seen.append((lens.last.step, lens.last.residual))

    # The pass after the failed one belongs to the same step of the optimizer.
    assert [step for step, _ in seen] == [0, 1, 1, 3]
    assert all(residual < 1e-5 for _, residual in seen)


@pytest.mark.parametrize("engine", ["masked", "split", "func"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_handler_may_close_the_lens_just_before_a_pass(engine: str, moment: str, tmp_path: Path) -> None:
    """It closes the lens after the lens has seen that the step is measured: before or after it has taken the outputs."""
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    lens = Lens(model, GROUPS, optimizer=optimizer, every=1, engine=engine, out=tmp_path / "run", strict=True)
    ordinary = lens._stepper.arming.take_outputs

    def take_outputs() -> list[Any]:
        if lens.step == 2 and moment == "before":
            lens.close("interrupted", "SIGUSR1")
        seen = ordinary()
        if lens.step == 2 and moment == "after":
            lens.close("interrupted", "SIGUSR1")
        return seen

    lens._stepper.arming.take_outputs = take_outputs  # type: ignore[method-assign]
    for x, y in batches(5):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        expected = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
        lens.backward(loss, y)
        assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), expected, strict=True))
        optimizer.step()

    assert Run(tmp_path / "run").steps.tolist() == [0, 1]
    assert Run(tmp_path / "run").status.reason == "SIGUSR1"
