"""Rank correlations of series, and their intervals."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from gradlens.estimation.intervals import TOO_SLOW
from gradlens.estimation.rank_correlation import rank_correlation
from tests.estimation.autoregressive import autoregressive


def test_a_rank_correlation_of_slow_series_is_refused_not_wrong():
    # By their product alone, which is noisier, every second pair got an interval, and 0.85 of those held.
    a, b = autoregressive(130, 0.9, 300, seed=11), autoregressive(130, 0.9, 300, seed=12)
    found = [rank_correlation(x, 0.6 * x + 0.8 * y) for x, y in zip(a, b, strict=True)]
    assert np.mean([i.measurable for i in found]) < 0.05
    assert {i.why for i in found if not i.measurable} == {TOO_SLOW}


@pytest.mark.parametrize("rho", [0.0, 0.7])
def test_a_rank_correlation_is_scipys_and_its_interval_covers(rho):
    x, y = autoregressive(300, 0.5, 200, seed=8), autoregressive(300, 0.5, 200, seed=9)
    y = rho * x + np.sqrt(1 - rho**2) * y
    found = [rank_correlation(a, b) for a, b in zip(x, y, strict=True)]
    assert found[0].value == pytest.approx(spearmanr(x[0], y[0]).statistic)
    truth = 6 / np.pi * np.arcsin(rho / 2)  # of normal values
    given = [i for i in found if i.measurable]
    assert len(given) > 0.9 * len(found)
    assert 0.91 <= np.mean([i.low <= truth <= i.high for i in given]) <= 0.99


def test_rank_correlations_by_hand():
    rising = np.arange(60.0) ** 3
    assert rank_correlation(rising, np.exp(rising / 1e4)).low == pytest.approx(1)
    assert rank_correlation(rising, -rising).high == pytest.approx(-1)
    ties = np.array([1.0, 1.0, 2.0, 2.0] * 15), np.array([1.0, 2.0, 1.0, 2.0] * 15)
    assert rank_correlation(*ties).value == pytest.approx(0)
    assert not rank_correlation(rising, np.ones(60)).measurable
