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

from gradlens import ClassGroups, Lens, Run
from gradlens.recorder import GradlensWarning
from gradlens.rows import LabelsError
from tests.engines.zoo import CLASSES, GROUPS, ZOO
from tests.lens_oracle import same
from tests.lens_training import batches, hooks, loss_of, mlp, state, train_case

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


def bad_labels() -> dict[str, tuple[Any, str]]:
    y = batches(1)[0][1]
    return {
        "length": (y[:-1], r"\[11\].* fit none of the model's outputs \(\[12, 6\]\).*one label for each row"),
        "class id": (y.clone().index_fill_(0, torch.tensor([3]), 6), "label 6 is no class id.*0 to 5"),
        "negative": (y - 1, "label -1 is no class id"),
        "bool": (y > 2, "dtype torch.bool; class ids must be integers"),
        "floats": (y.float(), "soft labels of shape \\[12\\] need one column for each of the 6 classes"),
        "soft of another width": (torch.rand(12, 5), "need one column for each of the 6 classes"),
        "negative mass": (torch.rand(12, 6) - 0.5, "must not be negative"),
        "not a tensor": (y.tolist(), "labels are list; give a tensor"),
    }


@pytest.mark.parametrize("kind", bad_labels())
def test_labels_that_do_not_fit(kind: str) -> None:
    labels, message = bad_labels()[kind]
    model = mlp()
    (x, y), *_ = batches(1)
    with Lens(model, GROUPS, every=1) as lens:
        with pytest.raises(LabelsError, match=message):
            lens.backward(loss_of(model, x, y), labels)
        assert all(p.grad is None for p in model.parameters())
        lens.backward(loss_of(model, x, y), y)  # corrected, as in a notebook
    assert lens.last is not None
    assert lens.last.residual <= 1e-5


def test_outputs_that_do_not_fit() -> None:
    model = mlp()
    (x, y), *_ = batches(1)
    logits = model(x)
    with Lens(model, GROUPS, every=1) as lens:
        with pytest.raises(LabelsError, match=r"no output of the model was seen.*call the model itself"):
            lens.backward(F.cross_entropy(model.forward(x), y), y)
        with pytest.raises(LabelsError, match=r"does not depend on the model's output.*detached"):
            lens.backward(F.cross_entropy(mlp(2)(x), y), y, outputs=logits)
        with pytest.raises(LabelsError, match="first dimension must count the samples"):
            lens.backward(F.cross_entropy(model(x), y), y, outputs=model(x).T)
        with pytest.raises(LabelsError, match="fit none of the model's outputs"):
            lens.backward(F.cross_entropy(model(x), y), y, outputs=model(x).detach())
        with pytest.raises(ValueError, match="no loss components"):
            lens.backward({}, y)
        with pytest.raises(LabelsError, match="no anchors given"):
            lens.measured_backward(loss_of(model, x, y), anchors=[], labels=y, backward=lambda: None)


def test_other_components_within_one_step() -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    (x, y), *_ = batches(1)
    with Lens(model, GROUPS, optimizer=optimizer, every=1) as lens:
        lens.backward({"a": loss_of(model, x, y)}, y)
        with pytest.raises(LabelsError, match=r"loss components \['b'\] follow \['a'\] within one optimizer step"):
            lens.backward({"b": loss_of(model, x, y)}, y)
        optimizer.step()
        lens.backward({"b": loss_of(model, x, y)}, y)
        optimizer.step()
    assert lens.last is not None
    assert lens.last.names == ("b/head", "b/medium", "b/tail", "rest")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_second_backward_raises_torchs_own_error(engine: str) -> None:
    model = mlp()
    (x, y), *_ = batches(1)
    with Lens(model, GROUPS, every=1, engine=engine) as lens:
        logits = model(x)
        loss = F.cross_entropy(logits, y)
        lens.backward(loss, y)
        with pytest.raises(RuntimeError, match="backward through the graph a second time"):
            lens.backward(loss, y, outputs=logits)


def test_errors_of_the_training_are_its_own() -> None:
    class Failing(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.passes = 0
            return x.clone()

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Tensor:
            raise ZeroDivisionError("the training's own")

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = mlp()

        def forward(self, x: Tensor) -> Tensor:
            return self.net[2](Failing.apply(self.net[0](x)))

    (x, y), *_ = batches(1)
    model = Net()
    with Lens(model, GROUPS, every=1) as lens:
        with pytest.raises(ZeroDivisionError, match="the training's own"):
            lens.backward(loss_of(model, x, y), y)
        logits = mlp()(x)
        with pytest.raises(RuntimeError, match="does not require grad"):
            lens.backward(F.cross_entropy(logits.detach(), y), y, outputs=logits)
        with pytest.raises(RuntimeError, match="scalar outputs"):
            lens.backward(F.cross_entropy(logits, y, reduction="none"), y, outputs=logits)


def test_an_interrupt_in_the_backward_pass_goes_through() -> None:
    model = mlp()
    (x, y), *_ = batches(1)

    def interrupted() -> None:
        raise KeyboardInterrupt

    with Lens(model, GROUPS, every=1) as lens:
        logits = model(x)
        with pytest.raises(KeyboardInterrupt):
            lens.measured_backward(F.cross_entropy(logits, y), anchors=[logits], labels=y, backward=interrupted)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "every=0"),
        ({"every": 1.5}, "every=1.5"),
        ({"budget": 0}, "budget=0"),
        ({"budget": 2}, "budget=2"),
        ({"every": 1, "budget": 0.1}, "exclude each other"),
        ({"engine": "turbo"}, "engine='turbo'; choose one of auto, masked, split, func"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        Lens(mlp(), GROUPS, out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_wrong_groups_and_models(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"groups are dict; give a gradlens.ClassGroups"):
        Lens(mlp(), {"a": [0]})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no parameter that wants a gradient; unfreeze"):
        Lens(mlp().requires_grad_(False), GROUPS)
    with pytest.raises(TypeError, match="meta has colour, which RunMeta lacks"):
        Lens(mlp(), GROUPS, out=tmp_path / "run", meta={"colour": "red"})
    narrow = ClassGroups({"a": [0]}, 3)
    model = mlp()
    (x, y), *_ = batches(1)
    with Lens(model, narrow, every=1) as lens, pytest.raises(LabelsError, match="over 3 classes, ids 0 to 2"):
        lens.backward(loss_of(model, x, y), y)


def test_a_folder_that_is_taken_is_an_error_before_training(tmp_path: Path) -> None:
    from gradlens.runlog import RunExistsError

    (tmp_path / "file").write_text("mine")
    model = mlp()
    with pytest.raises(RunExistsError):
        Lens(model, GROUPS, out=tmp_path)
    assert hooks(model) == 0
    assert (tmp_path / "file").read_text() == "mine"


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
