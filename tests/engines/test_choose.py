"""An engine that refuses a model, or disagrees with independent pull-backs, is replaced, and the log says why."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens import Lens, Run
from gradlens.guards.warning import GradlensWarning
from tests.engines.zoo import CLASSES, GROUPS, ZOO
from tests.lens.training import batches, loss_of, mlp

pytestmark = pytest.mark.usefixtures("one_thread")


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
