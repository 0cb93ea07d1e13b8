"""The meter: the vector that is a difference, the residual that proves it, and what belongs to one step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens.autograd.grads import Grads
from gradlens.autograd.inner_products import Layout
from gradlens.batch.rows import group_rows
from gradlens.engines import EngineSwitch
from gradlens.measure.meter import StepMeter
from gradlens.measure.pending_result import PendingResult, Plan
from gradlens.measure.processes import Alone
from tests.engines.zoo import GROUPS
from tests.lens.oracle import gradient, gram
from tests.lens.training import batches, mlp

pytestmark = pytest.mark.usefixtures("one_thread")


def meter_of(model: nn.Module) -> StepMeter:
    layout = Layout.of(model)
    return StepMeter(layout, GROUPS, 1, EngineSwitch("masked", model, layout.params, lambda *_: None), Alone())


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


def test_a_plan_writes_out_the_difference() -> None:
    """Recorded: a, b, rest, update; computed: b, update, rest and the total; a is what remains."""
    rng = np.random.default_rng(0)
    a, b, rest, update = rng.normal(size=(4, 6))
    computed = np.stack([b, update, rest, a + b + rest])
    plan = Plan(size=4, computed=(1, 3, 2), difference=0, update=3)
    recorded = np.stack([a, b, rest, update])
    np.testing.assert_allclose(plan.expand((computed @ computed.T)[None])[0], recorded @ recorded.T, atol=1e-12)


def test_a_plan_without_a_total_leaves_the_others_missing() -> None:
    products = np.array([[[2.0, 1.0, 0.0], [1.0, 3.0, 0.0], [0.0, 0.0, 0.0]]])
    found = Plan(size=4, computed=(1, 3), difference=None, update=None).expand(products)[0]
    assert found[1, 1] == 2
    assert found[3, 1] == 1
    assert np.isnan(found[[0, 2]]).all()


def test_a_nan_vector_does_not_reach_the_others() -> None:
    products = np.array([[[4.0, np.nan, 4.0], [np.nan, np.nan, np.nan], [4.0, np.nan, 9.0]]])  # b, update, total
    found = Plan(size=3, computed=(1, 2), difference=0, update=2).expand(products)[0]
    assert found[0, 0] == 5  # |a|^2 = 9 - 2 * 4 + 4
    assert found[0, 1] == 0


def test_results_come_back_as_they_were_packed() -> None:
    products = torch.arange(8.0, dtype=torch.float64).reshape(2, 2, 2)
    plan = Plan(size=1, computed=(0,), difference=None, update=None)
    scores = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    pending = PendingResult.start(
        plan, products, torch.tensor(0.25), scores, torch.tensor(7.0), torch.tensor(0.5), np.array([5.0, 6.0])
    )
    result = pending.result()
    assert result.layers.tolist() == [[[0.0]], [[4.0]]]
    assert result.loss.tolist() == [1, 2]
    assert result.correct.tolist() == [3, 4]
    assert (result.residual, result.total_loss, result.disagreement) == (0.25, 7.0, 0.5)
    assert result.counts.tolist() == [5, 6]


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
