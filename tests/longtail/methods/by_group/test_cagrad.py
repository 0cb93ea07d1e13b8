"""CAGrad: by hand, against its primal problem by brute force, and against the solver of the authors' code."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import find_method
from gradlens.longtail.methods.by_group.cagrad import CaGradWeights, worst_mixture
from gradlens.longtail.training.fit import fit
from tests.longtail.methods.by_group.combined import combined, drawn, weights_of

PAPER = {"rescale": 0, "mean": True}


def test_two_orthogonal_vectors_by_hand():
    """g0 = (0.5, 0.5), and by symmetry w = (0.5, 0.5), so d = (1 + c) g0."""
    vectors = torch.eye(2, dtype=torch.float64)
    assert combined(CaGradWeights(0.5, **PAPER), vectors).tolist() == pytest.approx([0.75, 0.75])
    # the code divides by 1 + c^2 (or 1 + c), and multiplies by K = 2
    assert combined(CaGradWeights(0.5), vectors).tolist() == pytest.approx([1.2, 1.2])
    assert combined(CaGradWeights(0.5, rescale=2), vectors).tolist() == pytest.approx([1.0, 1.0])
    assert combined(CaGradWeights(0.5, rescale=1, mean=True), vectors).tolist() == pytest.approx([0.6, 0.6])


@pytest.mark.parametrize("c", [0.2, 0.4, 0.9])
@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_point_of_the_ball_that_helps_the_worst_group_most(c, seed):
    """The problem that the paper begins with: max over |d - g0| <= c |g0| of min_i <g_i, d>, tried at all angles."""
    vectors = drawn(2, size=2, seed=seed)
    mean = vectors.mean(0)
    angles = torch.linspace(0, 2 * math.pi, 200_001, dtype=torch.float64)
    around = torch.stack([angles.cos(), angles.sin()], 1)
    tried = torch.cat([mean + c * mean.norm() * around, mean[None]])
    best = (tried @ vectors.T).amin(1).max()
    found = combined(CaGradWeights(c, **PAPER), vectors)
    assert float((found - mean).norm()) <= c * float(mean.norm()) * (1 + 1e-6)
    assert float((vectors @ found).min()) == pytest.approx(float(best), abs=1e-6)


@pytest.mark.parametrize("groups", [2, 3, 6, 20])
def test_the_mixture_against_the_solver_of_the_code(groups):
    vectors = drawn(groups, size=30, seed=groups)
    gram = (vectors @ vectors.T).numpy()
    gram /= gram.diagonal().max()
    radius = 0.4 * math.sqrt(gram.mean())

    def objective(w):
        return w @ gram.mean(1) + radius * math.sqrt(max(w @ gram @ w, 0.0))

    simplex = {"type": "eq", "fun": lambda w: 1 - w.sum()}
    solved = minimize(
        objective, np.full(groups, 1 / groups), bounds=[(0, 1)] * groups, constraints=simplex, options={"ftol": 1e-14}
    )
    found = worst_mixture(gram, radius)
    assert found.sum() == pytest.approx(1)
    assert found.min() >= 0
    assert objective(found) <= solved.fun + 1e-9


def test_gradients_that_cancel_out_are_combined_into_something_finite():
    """g1 = -2 g2: the mean points along g1, and the mixture may be zero."""
    vectors = torch.tensor([[2.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    found = combined(CaGradWeights(0.4, **PAPER), vectors)
    assert torch.isfinite(found).all()
    assert float((found - vectors.mean(0)).norm()) <= 0.4 * 0.5 * (1 + 1e-6)
    same = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)  # their mean is zero
    assert combined(CaGradWeights(0.4, **PAPER), same).tolist() == pytest.approx([0, 0])


def test_without_a_radius_it_is_the_mean_and_one_group_is_scaled_like_groups_that_agree():
    vectors = drawn(3)
    torch.testing.assert_close(combined(CaGradWeights(0.0, **PAPER), vectors), vectors.mean(0))
    one = weights_of(CaGradWeights(0.4), vectors[:1])
    twins = weights_of(CaGradWeights(0.4), vectors[:1].expand(2, -1))
    assert float(one) == pytest.approx(1.4 / 1.16)
    assert float(twins.sum()) == pytest.approx(2 * 1.4 / 1.16)


def test_against_torchjd():
    pytest.importorskip("cvxpy")
    from torchjd.aggregation import CAGrad

    for groups in (2, 4):
        vectors = drawn(groups, size=9, seed=groups)
        torch.testing.assert_close(
            combined(CaGradWeights(0.4, **PAPER), vectors), CAGrad(0.4)(vectors), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize(("changes", "says"), [({"c": -1}, "c=-1"), ({"rescale": 3}, "rescale=3; choose 0")])
def test_settings_out_of_range_are_refused(task, changes, says):
    with pytest.raises(LongTailError, match=says):
        find_method("cagrad").on(task, changes)


def test_it_trains(task):
    fitted = fit(find_method("cagrad").on(task, {"epochs": 8}), task)
    assert fitted.history[-1]["loss"] < 0.6 * fitted.history[0]["loss"]
