"""Wrong use is an error at once; our own faults, refusals and NaNs never reach the training."""

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
from gradlens.recorder import GradlensWarning
from tests.engines.zoo import CLASSES, GROUPS, ZOO
from tests.lens_oracle import same
from tests.lens_training import batches, loss_of, mlp, state, train_case

ENGINES = ("masked", "split", "func")


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Broken(RuntimeError):
    """An error that only gradlens can have made."""


def break_down(*_: Any, **__: Any) -> Any:
    raise Broken("out of luck")


# Each place breaks another stage of a measured step.
STAGES = (
    "gradlens.stepper.group_rows",
    "gradlens.meter.cotangents",
    "gradlens.meter.group_scores",
    "gradlens.meter.StepMeter.hold",
    "gradlens.meter.inner_products",
    "gradlens.meter.StepMeter.finish",
    "gradlens.recorder.Recorder.take",
    "gradlens.anchors.AnchorWatch.arm",
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
    if stage != "gradlens.anchors.AnchorWatch.arm":  # broken before there was a lens to enter
        assert Run(tmp_path / "run").status.state == "failed"


def test_one_fault_costs_one_measurement(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from gradlens.meter import group_scores

    calls: list[None] = []

    def third_time(*args: Any) -> Any:
        calls.append(None)
        return break_down() if len(calls) == 3 else group_scores(*args)

    monkeypatch.setattr("gradlens.meter.group_scores", third_time)
    with pytest.warns(GradlensWarning, match="out of luck"):
        train_tracked(5, out=tmp_path / "run")
    assert Run(tmp_path / "run").steps.tolist() == [0, 1, 3, 4]


def test_a_fault_in_the_engine_after_the_backward_pass_does_not_repeat_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from gradlens.engines._sums import GroupSums

    plain, _ = train_case("cnn-groupnorm")
    monkeypatch.setattr(GroupSums, "result", break_down)
    with pytest.warns(GradlensWarning, match="Broken"):
        tracked, _ = train_case("cnn-groupnorm", make=partial(Lens, every=1, engine="split"))
    assert same(plain, tracked)


def test_an_engine_that_asks_for_the_backward_pass_twice_gets_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from gradlens.engines import MaskedEngine

    measure = MaskedEngine.measure

    def twice(engine: MaskedEngine, losses: Any, anchors: Any, rows: Any, wanted: Any, backward: Any) -> Any:
        backward()
        return measure(engine, losses, anchors, rows, [], backward)

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


def test_engine_refusals_are_logged_and_the_masked_engine_takes_over(tmp_path: Path) -> None:
    case = ZOO["cnn-batchnorm"]
    model, inputs, labels = case.build()
    with Lens(model, GROUPS, out=tmp_path / "run", every=1, engine="split", strict=True) as lens:
        lens.backward(case.loss(model(*inputs), labels).mean(), labels)
    assert lens.engine_name == "masked"
    run = Run(tmp_path / "run")
    assert [(e["engine"], "BatchNorm" in e["reason"]) for e in run.events if e["kind"] == "engine"] == [
        ("masked", True)
    ]
    assert run.meta.engine == "masked"
    assert run.meta.engine_reason.startswith("instead of split: ")
    assert run.residual[0] <= 1e-5


def test_a_refusal_in_the_middle_of_training(tmp_path: Path) -> None:
    """split works until the model is put into train mode, where its BatchNorm mixes samples."""
    model, inputs, labels = ZOO["cnn-eval-batchnorm"].build()
    with Lens(model, GROUPS, out=tmp_path / "run", every=1, strict=True) as lens:
        assert lens.engine_name == "split"
        assert lens.engine_reason.startswith("auto: ")
        for _ in range(2):
            lens.backward(F.cross_entropy(model(*inputs), labels), labels)
            model.zero_grad()
        model.train()
        for _ in range(2):
            lens.backward(F.cross_entropy(model(*inputs), labels), labels)
            model.zero_grad()
            assert lens.last is not None
            assert lens.last.residual <= 1e-5
    assert lens.engine_name == "masked"
    run = Run(tmp_path / "run")
    assert run.steps.tolist() == [0, 1, 2, 3]
    assert [e["step"] for e in run.events if e["kind"] == "engine"] == [2]
    assert run.meta.engine == "masked"


class Centred(nn.Module):
    """Mixes samples in its forward code, where no engine can see it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, 7), nn.Linear(7, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x).tanh()
        return self.last(h - h.mean(0))


def test_an_engine_that_disagrees_is_replaced(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Centred()
    with Lens(model, GROUPS, out=tmp_path / "run", every=1, engine="split", strict=True) as lens:
        for x, y in batches(3):
            lens.backward(loss_of(model, x, y), y)
            assert lens.last is not None
            assert lens.last.residual <= 1e-5  # also the first: what is recorded is the exact result
    assert lens.engine_name == "masked"
    (event,) = [e for e in Run(tmp_path / "run").events if e["kind"] == "engine"]
    assert event["engine"] == "masked"
    assert "from the masked engine at step 0" in event["reason"]


class Mixing(nn.Module):
    """Mixes neighbouring samples in every second forward pass, as augmentation inside of a model may."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last, self.passes = nn.Linear(5, 7), nn.Linear(7, CLASSES), 0

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x).tanh()
        self.passes += 1
        return self.last(hidden if self.passes % 2 else (hidden + hidden.roll(1, 0)) / 2)


def test_an_engine_that_is_wrong_in_some_passes_only_is_found_soon() -> None:
    torch.manual_seed(0)
    model = Mixing()
    with Lens(model, GROUPS, every=1, engine="auto", strict=True) as lens:
        x, y = batches(1)[0]
        lens.backward(loss_of(model, x, y), y)
        assert lens.engine_name == "split"
        lens.backward(loss_of(model, x, y), y)
        assert lens.engine_name == "masked"
        assert "differs by" in lens.engine_reason
        # What was logged of that step are the masked engine's own vectors.
        assert lens.last is not None
        assert lens.last.residual <= 1e-5


class Particular(nn.Module):
    """Asks more of its parameters than torch.func can give."""

    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        if torch._C._functorch.is_functorch_wrapped_tensor(self.only.weight):
            raise AttributeError("no such thing under a transform")
        return self.only(x)


def test_a_model_that_cannot_be_replayed_is_measured_otherwise() -> None:
    model, said = Particular(), []
    with Lens(model, GROUPS, every=1, engine="func", announce=said.append) as lens:
        x, y = batches(1)[0]
        lens.backward(loss_of(model, x, y), y)
        assert lens.last is not None
        assert lens.engine_name == "masked"
    assert "torch.func cannot treat Particular: no such thing under a transform" in lens.engine_reason
    assert said == []


def test_a_group_without_gradient_does_not_hide_a_disagreement() -> None:
    torch.manual_seed(0)
    model = Centred()
    (x, y), *_ = batches(1)
    weight = torch.tensor([1.0, 1, 1, 1, 1, 0])  # the tail has no loss
    with Lens(model, GROUPS, every=1, engine="split", strict=True) as lens:
        lens.backward(F.cross_entropy(model(x), y, weight), y)
    assert lens.engine_name == "masked"


def test_something_else_that_changes_gradients_is_noticed(tmp_path: Path) -> None:
    def add_one(param: Tensor) -> None:
        param.grad.add_(1.0)

    def train() -> None:
        model = mlp()
        model[2].weight.register_post_accumulate_grad_hook(add_one)
        with Lens(model, GROUPS, out=tmp_path / "run", every=1) as lens:
            for x, y in batches(2):
                lens.backward(loss_of(model, x, y), y)
                model.zero_grad()

    with pytest.warns(GradlensWarning, match="miss the gradient") as seen:
        train()
    assert len(seen) == 1
    run = Run(tmp_path / "run")
    assert (run.residual > 0.1).all()
    assert len([e for e in run.events if e["kind"] == "residual"]) == 2


def test_a_warning_has_one_line_however_long_the_error_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise NotImplementedError("could not run\n" + "kernel\n" * 200)

    monkeypatch.setattr("gradlens.meter.StepMeter.measure", fails)
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
