"""Our own faults never reach the training, and losses that are not finite are recorded."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens import Lens, Run
from gradlens.guards.warning import GradlensWarning
from tests.engines.zoo import GROUPS
from tests.lens.oracle import same
from tests.lens.training import batches, loss_of, mlp, state, train_case

ENGINES = ("masked", "split", "func")


pytestmark = pytest.mark.usefixtures("one_thread")


class Broken(RuntimeError):
    """An error that only gradlens can have made."""


def break_down(*_: Any, **__: Any) -> Any:
    raise Broken("out of luck")


# Each place breaks another stage of a measured step.
STAGES = (
    "gradlens.measure.labelled_pass.group_rows",
    "gradlens.autograd.cotangents.cotangents",
    "gradlens.batch.labelled.group_scores",
    "gradlens.measure.meter.StepMeter.hold",
    "gradlens.measure.processes.inner_products",
    "gradlens.measure.meter.StepMeter.finish",
    "gradlens.measure.recorder.Recorder.take",
    "gradlens.batch.anchors.AnchorWatch.arm",
)


def train_tracked(steps: int, **options: Any) -> Lens:
    """Trains a little network, every step measured."""
    model = mlp()
    with Lens(model, GROUPS, every=1, **options) as lens:
        for x, y in batches(steps):
            lens.backward(loss_of(model, x, y), y)
            model.zero_grad()
    return lens


@pytest.mark.parametrize("stage", STAGES)
def test_a_fault_of_ours_warns_once_and_leaves_training_as_it_is(
    stage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain, _ = train_case("mlp", 6)
    make = partial(Lens, out=tmp_path / "run", every=1, update=True)
    monkeypatch.setattr(stage, break_down)
    with pytest.warns(GradlensWarning, match=r"could not be measured \(Broken: out of") as seen:
        tracked, _ = train_case("mlp", 6, make)
    assert same(plain, tracked)
    assert len(seen) == 1
    run = Run(tmp_path / "run")
    assert run.status.state == "finished"
    assert len(run) == 0
    errors = [event for event in run.events if event["kind"] == "internal-error"]
    assert len(errors) == 3  # then it stops for good
    assert "out of luck" in errors[0]["message"]
    assert "measuring stops here" in errors[-1]["message"]


@pytest.mark.parametrize("stage", STAGES)
def test_strict_raises_it(stage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(stage, break_down)
    with pytest.raises(Broken):
        train_tracked(1, out=tmp_path / "run", strict=True)
    if stage != "gradlens.batch.anchors.AnchorWatch.arm":  # broken before there was a lens to enter
        assert Run(tmp_path / "run").status.state == "failed"


def test_one_fault_costs_one_measurement(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from gradlens.batch.scores import group_scores

    calls: list[None] = []

    def third_time(*args: Any) -> Any:
        calls.append(None)
        return break_down() if len(calls) == 3 else group_scores(*args)

    monkeypatch.setattr("gradlens.batch.labelled.group_scores", third_time)
    with pytest.warns(GradlensWarning, match="out of luck"):
        train_tracked(5, out=tmp_path / "run")
    assert Run(tmp_path / "run").steps.tolist() == [0, 1, 3, 4]


def test_a_fault_in_the_engine_after_the_backward_pass_does_not_repeat_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from gradlens.engines.group_sums import GroupSums

    plain, _ = train_case("cnn-groupnorm")
    monkeypatch.setattr(GroupSums, "result", break_down)
    with pytest.warns(GradlensWarning, match="Broken"):
        tracked, _ = train_case("cnn-groupnorm", make=partial(Lens, every=1, engine="split"))
    assert same(plain, tracked)


def test_an_engine_that_asks_for_the_backward_pass_twice_gets_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from gradlens.engines import MaskedEngine

    measure = MaskedEngine.measure

    def twice(engine: MaskedEngine, passed: Any, rows: Any, wanted: Any, backward: Any) -> Any:
        backward()
        return measure(engine, passed, rows, [], backward)

    plain, _ = train_case("mlp")
    monkeypatch.setattr(MaskedEngine, "measure", twice)
    with pytest.warns(GradlensWarning, match="asked for twice"):
        tracked, _ = train_case("mlp", make=partial(Lens, every=1, engine="masked"))
    assert same(plain, tracked)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_loss_that_is_not_finite_is_recorded(engine: str, value: float, tmp_path: Path) -> None:
    model, twin = mlp(), mlp()
    optimizer, plain = (torch.optim.SGD(m.parameters(), 0.1) for m in (model, twin))
    with Lens(model, GROUPS, out=tmp_path / "run", optimizer=optimizer, every=1, engine=engine, strict=True) as lens:
        for step, (x, y) in enumerate(batches(4)):
            for m, o in ((model, optimizer), (twin, plain)):
                loss = loss_of(m, x, y) * (value if step == 1 else 1.0)
                lens.backward(loss, y) if m is model else loss.backward()
                if step == 1:
                    o.zero_grad()  # the training throws the gradient away, and the step with it
                o.step()
                o.zero_grad()
    assert same(state(model, optimizer), state(twin, plain))
    run = Run(tmp_path / "run")
    assert run.steps.tolist() == [0, 1, 2, 3]
    assert np.isfinite(run.total_loss).tolist() == [True, False, True, True]
    assert np.isfinite(run.norm("head")).tolist() == [True, False, True, True]
    assert [event["step"] for event in run.events if event["kind"] == "nonfinite"] == [1]
    assert lens.engine_name == engine


def test_a_nan_in_one_group_stays_there() -> None:
    model = mlp()
    (x, y), *_ = batches(1)
    x[y == 5] = float("nan")
    rows = lambda: F.cross_entropy(model(x), y, reduction="none")  # noqa: E731
    with Lens(model, GROUPS, every=1, strict=True) as lens:
        lens.backward(rows().mean(), y)
    m = lens.last
    assert m is not None
    assert m.counts.tolist() == [6, 4, 2]
    assert np.isnan(m.total_loss)
    assert np.isnan(m.loss).tolist() == [False, False, True]


def test_a_warning_has_one_line_however_long_the_error_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise NotImplementedError("could not run\n" + "kernel\n" * 200)

    monkeypatch.setattr("gradlens.measure.meter.StepMeter.measure", fails)
    model, said = mlp(), []
    with Lens(model, GROUPS, every=1, announce=said.append) as lens:
        for x, y in batches(1):
            lens.backward(loss_of(model, x, y), y)
    assert said == ["step 0 could not be measured (NotImplementedError: could not run); training is untouched"]


def test_reentrant_checkpointing_cannot_be_measured_but_trains() -> None:
    from torch.utils.checkpoint import checkpoint

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.net = nn.Linear(5, 5), mlp()

        def forward(self, x: Tensor, reentrant: bool) -> Tensor:
            return checkpoint(self.net, self.first(x), use_reentrant=reentrant)

    torch.manual_seed(0)
    model = Net()
    torch.manual_seed(0)
    twin = Net()
    (x, y), *_ = batches(1)
    with Lens(model, GROUPS, every=1) as lens:
        lens.backward(F.cross_entropy(model(x, False), y), y)
        F.cross_entropy(twin(x, False), y).backward()
        assert lens.last is not None
        assert lens.last.residual <= 1e-5
        with pytest.warns(GradlensWarning, match="could not be measured"):
            lens.backward(F.cross_entropy(model(x, True), y), y)
        F.cross_entropy(twin(x, True), y).backward()
    assert same(state(model), state(twin))
