"""Ends of intervals of bounded and biased quantities: exact coverage by integration with SciPy, and published numbers."""

import numpy as np
import pytest
from scipy.stats import norm, t

from gradlens.estimation.bounded import at_least_zero, critical_value, of_magnitude
from gradlens.estimation.student import t_quantile

# With this many degrees of freedom Student's t is the normal distribution to three digits.
NORMAL = 3000.0
LEVEL = 0.95


def covered(ends, truth, freedom):
    """Returns the probability that the interval of the estimate truth + t covers the truth, on a fine grid of quantiles."""
    errors = t.ppf((np.arange(600) + 0.5) / 600, freedom)
    return np.mean([low <= truth <= high for low, high in (ends(truth + error) for error in errors)])


@pytest.mark.parametrize("freedom", [6.0, 300.0])
@pytest.mark.parametrize("truth", [0.0, 0.1, 0.7, 1.5, 2.1, 2.6, 4.0])
def test_each_truth_is_covered_as_often_as_the_level_says(truth, freedom):
    assert covered(lambda x: at_least_zero(max(x, 0.0), 1.0, 0.0, freedom, LEVEL), truth, freedom) == pytest.approx(
        LEVEL, abs=0.006
    )
    # An estimate of the wrong sign counts, too: with few degrees of freedom the two tails are not exactly independent.
    assert covered(lambda x: of_magnitude(x, 1.0, freedom, LEVEL), truth, freedom) == pytest.approx(LEVEL, abs=0.006)


@pytest.mark.parametrize("bias", [-0.5, -0.2, 0.2, 0.5])
@pytest.mark.parametrize("truth", [0.0, 1.0, 2.0, 3.0, 6.0])
def test_no_bias_within_the_bound_makes_an_interval_cover_less(truth, bias):
    ends = [
        at_least_zero(max(truth + bias + x, 0.0), 1.0, 0.5, NORMAL, LEVEL)
        for x in norm.ppf((np.arange(400) + 0.5) / 400)
    ]
    assert np.mean([low <= truth <= high for low, high in ends]) >= 0.944


def test_ends_by_hand():
    # As Mandelkern and Schultz (2000): 0 up to 1.645, the two-sided interval from 2 * 1.96 on.
    for value, low in [(0.0, 0.0), (1.6, 0.0), (2.0, 2.0 - 1.645), (3.0, 3 - 1.645), (3.8, 1.96), (5.0, 5 - 1.96)]:
        found = at_least_zero(value, 1.0, 0.0, NORMAL, LEVEL)
        assert found == (pytest.approx(low, abs=3e-3), pytest.approx(value + 1.96, abs=3e-3))
    # In other units, with a bound of the bias: 0.3 / 2 = 0.15 standard errors.
    low, high = at_least_zero(4.0, 2.0, 0.3, NORMAL, LEVEL)
    assert low == pytest.approx(4.0 - 0.3 - 2 * 1.645, abs=5e-3)
    assert high == pytest.approx(4.0 + 2 * 1.9822, abs=5e-3)


def test_a_magnitude_holds_0_exactly_if_the_signed_number_does():
    reach = t_quantile(0.975, 9.0)
    for value in (0.0, 0.9 * reach, -0.9 * reach, 1.001 * reach, -1.1 * reach, 4.0, -60.0):
        low, high = of_magnitude(value, 1.0, 9.0, LEVEL)
        assert (low == 0) == (abs(value) < reach)
        assert max(abs(value) - reach, 0.0) - 1e-9 <= low <= abs(value)
        assert high == pytest.approx(abs(value) + reach)


def test_critical_values_are_those_of_the_folded_normal():
    # cv(b) of Armstrong and Kolesar (2018): the 95 % quantile of |N(b, 1)|, the root of the noncentral chi-square's.
    for bias in (0.0, 0.1, 0.5, 1.0, 3.0):
        found = critical_value(bias, NORMAL, LEVEL)
        assert norm.cdf(found - bias) - norm.cdf(-found - bias) == pytest.approx(LEVEL, abs=5e-4)
    assert critical_value(0.5, NORMAL, LEVEL) == pytest.approx(2.181, abs=3e-3)
    # With a large bias an error is only possible on one side (Imbens and Manski 2004).
    assert critical_value(6.0, 12.0, LEVEL) == pytest.approx(6.0 + t.ppf(0.95, 12), abs=1e-3)
