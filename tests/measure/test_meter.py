"""The meter: the vector that is a difference, the residual that proves it, and what belongs to one step."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens.autograd.grads import Grads
from gradlens.autograd.inner_products import Layout
from gradlens.batch.rows import group_rows
from gradlens.engines import EngineSwitch
from gradlens.groups import ClassGroups
from gradlens.measure.meter import StepMeter
from gradlens.measure.processes import SingleProcess
from tests.engines.zoo import GROUPS
from tests.lens.oracle import gradient, gram
from tests.lens.training import batches, mlp

pytestmark = pytest.mark.usefixtures("one_thread")


def meter_of(model: nn.Module) -> StepMeter:
    layout = Layout.of(model)
    return StepMeter(layout, GROUPS, 1, EngineSwitch("masked", model, layout.params, lambda *_: None), SingleProcess())


def measure(meter: StepMeter, model: nn.Module, x: Tensor, y: Tensor, check: bool = False) -> None:
    logits = model(x)
    loss = F.cross_entropy(logits, y)
    meter.measure([loss], [logits], y, group_rows(y, GROUPS, logits), loss.backward, check=check)


def spoil(meter: StepMeter, position: int, parameter: int, size: float) -> None:
    """Puts an error of a relative size into one vector, as a wrong engine would."""
    vector: Grads = list(meter.passes.sums.vectors[position])
    wrong = vector[parameter]
    assert wrong is not None
    vector[parameter] = wrong * (1 + size)
    meter.passes.sums.vectors[position] = vector


# The layer nearest the anchor is compared in every step, all of them in steps that check; parameters 0, 1 and 2, 3.
@pytest.mark.parametrize(("check", "parameter", "seen"), [(False, 2, True), (False, 0, False), (True, 0, True)])
def test_the_residual_proves_the_vectors_and_not_the_difference(check: bool, parameter: int, seen: bool) -> None:
    model = mlp()
    (x, y), *_ = batches(1)
    meter = meter_of(model)
    measure(meter, model, x, y, check)
    total = gram([[p.grad for p in model.parameters()]])[0, 0]
    near = gram([[p.grad for p in list(model.parameters())[2:]]])[0, 0]
    assert 0 not in meter.passes.sums.vectors  # the head has most samples: it is what remains
    tail = meter.passes.sums.vectors[2][parameter]
    assert tail is not None
    size = float(tail.norm())
    spoil(meter, 2, parameter, 0.01)
    meter.hold(keep=False)
    pending = meter.finish()
    assert pending is not None
    residual = pending.result().residual
    if seen:
        assert residual == pytest.approx(0.01 * size / (total if check else near) ** 0.5, rel=1e-3)
    else:
        assert residual <= 1e-5


def test_a_correct_step_has_no_residual_worth_the_name() -> None:
    model = mlp()
    (x, y), *_ = batches(1)
    meter = meter_of(model)
    for check in (False, True):
        measure(meter, model, x, y, check)
        assert meter.begun
        meter.hold(keep=False)
        pending = meter.finish()
        assert pending is not None
        assert 0 <= pending.result().residual <= 1e-6
        assert not meter.begun
        model.zero_grad()
    assert meter.finish() is None


def test_a_backward_pass_without_samples_is_rest() -> None:
    model = mlp()
    (x, y), *_ = batches(1)

    def penalty(twin: nn.Module) -> Tensor:
        return sum(p.square().sum() for p in twin.parameters())

    vectors = [gradient(model, penalty), gradient(model, lambda twin: F.cross_entropy(twin(x.double()), y))]
    meter = meter_of(model)
    term = penalty(model)
    meter.measure_rest([term], term.backward)
    measure(meter, model, x, y)
    meter.hold(keep=False)
    pending = meter.finish()
    assert pending is not None
    result = pending.result()
    found = result.layers.sum(0)
    assert found[3, 3] == pytest.approx(gram(vectors)[0, 0], rel=1e-5)
    assert found[3, :3].sum() == pytest.approx(gram(vectors)[0, 1], rel=1e-4)
    assert result.total_loss == pytest.approx(float((term + F.cross_entropy(model(x), y)).detach()), rel=1e-6)
    assert result.residual <= 1e-5
    assert result.counts.tolist() == [6, 4, 2]


def test_kept_vectors_outlive_clipping() -> None:
    """With an update to come, the inner products wait for the optimizer; the gradient as it was must not change until then."""
    model = mlp()
    (x, y), *_ = batches(1)
    meter = meter_of(model)
    measure(meter, model, x, y)
    truth = gram([[p.grad.clone() for p in model.parameters()]])[0, 0]
    meter.hold(keep=True)
    for p in model.parameters():
        p.grad.mul_(1e-3)
    pending = meter.finish([torch.ones_like(p) for p in model.parameters()])
    assert pending is not None
    found = pending.result().layers.sum(0)
    assert found[:4, :4].sum() == pytest.approx(truth, rel=1e-5)
    assert found[4, 4] == sum(p.numel() for p in model.parameters())


class InPlace(torch.autograd.Function):
    """A cross-entropy that writes its gradient over the one that it has saved, as fused losses do."""

    @staticmethod
    def forward(ctx, logits, labels):
        ctx.saved = (logits.softmax(1) - F.one_hot(labels, logits.shape[1])) / len(labels)
        return F.cross_entropy(logits, labels)

    @staticmethod
    def backward(ctx, g):
        return ctx.saved.mul_(g), None


def test_a_loss_is_differentiated_once_also_where_groups_leave_classes_out() -> None:
    model = mlp()
    (x, y), *_ = batches(1)
    some = ClassGroups({"a": [0], "b": [1]}, GROUPS.num_classes)
    layout = Layout.of(model)
    meter = StepMeter(layout, some, 1, EngineSwitch("masked", model, layout.params, lambda *_: None), SingleProcess())
    logits = model(x)
    loss = 2 * InPlace.apply(logits, y)  # type: ignore[no-untyped-call]
    expected = []
    for chosen in (y == 0, y == 1, y > 1):
        part = 2 * (F.cross_entropy(logits, y, reduction="none") * chosen).mean()
        expected.append(torch.autograd.grad(part, list(model.parameters()), retain_graph=True))
    # The training's own pass is not the matter here.
    meter.measure([loss], [logits], y, group_rows(y, some, logits), lambda: None, check=False)
    for position, vector in meter.passes.sums.vectors.items():
        for found, right in zip(vector, expected[position], strict=True):
            torch.testing.assert_close(found, right)
    assert 2 in meter.passes.sums.vectors
