"""Wrong use is an error at once, with its cause and its fix; errors of the training stay its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens import ClassGroups, Lens
from gradlens.batch.rows import LabelsError
from gradlens.tracking.attach.tracked_lens import TrackedLens
from tests.engines.zoo import GROUPS
from tests.lens.training import batches, loss_of, mlp

pytestmark = pytest.mark.usefixtures("one_thread")


ENGINES = ("masked", "split", "func")


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
        "sparse": (y.to_sparse(), "labels are a sparse tensor; give a dense one"),
        "nested": (torch.nested.nested_tensor([y], layout=torch.jagged), "labels are a nested tensor"),
        "one-hot integers": (F.one_hot(y, 6), r"hold only 0 and 1.*give class masses \(labels.float\(\)\), or ids"),
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


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        (2.0, TypeError, "the loss is a float; give a scalar tensor"),
        ([torch.ones(())], TypeError, "the loss is a list"),
        ({"a": 0.0}, TypeError, "loss component 'a' is a float"),
        ({}, ValueError, "no loss components"),
        ({"a": torch.ones(()), "b": torch.ones(2)}, ValueError, r"'b' has shape \[2\].*take its mean or sum"),
    ],
)
def test_losses_that_are_none(loss: Any, error: type[Exception], message: str, every: int) -> None:
    """Also on steps that are not measured."""
    model = mlp()
    (x, y), (x2, y2) = batches(2)
    with Lens(model, GROUPS, every=every) as lens:
        lens.backward(loss_of(model, x, y), y)
        model(x2)
        with pytest.raises(error, match=message):
            lens.backward(loss, y2)


def test_outputs_that_do_not_fit() -> None:
    model = mlp()
    (x, y), *_ = batches(1)
    logits = model(x)
    with TrackedLens(model, GROUPS, every=1) as lens:
        with pytest.raises(LabelsError, match=r"no output of the model was seen.*Call the model itself"):
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

    with TrackedLens(model, GROUPS, every=1) as lens:
        logits = model(x)
        with pytest.raises(KeyboardInterrupt):
            lens.measured_backward(F.cross_entropy(logits, y), anchors=[logits], labels=y, backward=interrupted)


def test_wrong_groups_and_models(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"groups are dict; give ClassGroups, such as"):
        Lens(mlp(), {"a": [0]})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no parameter that wants a gradient; unfreeze"):
        Lens(mlp().requires_grad_(False), GROUPS)
    with pytest.raises(TypeError, match=r"the model is a function; give the torch\.nn\.Module"):
        Lens(mlp, GROUPS)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"optimizer is a str; give the torch\.optim\.Optimizer"):
        Lens(mlp(), GROUPS, optimizer="sgd")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"parameter 0.weight is on the meta device.*to_empty"):
        Lens(mlp().to("meta"), GROUPS)
    for counts in ([1, 2], [[1] * 6], [1, 2, 3, 4, 5, -1], [1, 2, 3, 4, 5, float("nan")], "many"):
        with pytest.raises(ValueError, match="class_counts must be one number of images for each of the 6 classes"):
            Lens(mlp(), GROUPS, out=tmp_path / "run", class_counts=counts)  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()
    with pytest.raises(TypeError, match="meta has colour, which RunMeta lacks"):
        Lens(mlp(), GROUPS, out=tmp_path / "run", meta={"colour": "red"})
    narrow = ClassGroups({"a": [0]}, 3)
    model = mlp()
    (x, y), *_ = batches(1)
    with Lens(model, narrow, every=1) as lens, pytest.raises(LabelsError, match="over 3 classes, ids 0 to 2"):
        lens.backward(loss_of(model, x, y), y)
