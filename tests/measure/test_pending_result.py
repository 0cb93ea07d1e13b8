"""A result on its way to the host: the vector that is a difference, what is absent, and what was packed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gradlens.measure.pending_result import PendingResult, Plan
from gradlens.metrics.layer_parts import layer_parts


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
    products = torch.tensor([[[0.0, 1, 2], [3, 4, 5], [6, 7, 8]], [[9.0, 0, 0], [0, 1, 0], [0, 0, 64]]]).double()
    plan = Plan(size=1, computed=(0,), difference=None, update=None)
    scores = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    pending = PendingResult.start(
        plan,
        layer_parts((0, 1), 2, (1,), (1,)),
        products,
        scores,
        torch.tensor(7.0),
        torch.tensor(0.5),
        np.array([5.0, 6.0]),
    )
    result = pending.result()
    assert result.layers.tolist() == [[[4.0]], [[1.0]]]
    assert result.loss.tolist() == [1, 2]
    assert result.correct.tolist() == [3, 4]
    assert (result.total_loss, result.disagreement) == (7.0, 0.5)
    assert result.residual == pytest.approx((9 + 1 + 64) ** 0.5 / 8)  # the three vectors of layer 1 are orthogonal
    assert result.counts.tolist() == [5, 6]
