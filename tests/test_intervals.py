"""Intervals: coverage on series whose mean is known, hand-worked cases, and the block length of known processes."""

import math

import numpy as np
import pytest

from gradlens.intervals import Interval, block_length, difference, interval, mean_interval, paired_difference
from gradlens.smoothing import fluctuations, running_mean


def autoregressive(steps: int, phi: float, series: int, seed: int = 0) -> np.ndarray:
    """[series, steps] stationary AR(1) with mean 0 and unit innovations."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(series) / np.sqrt(1 - phi**2)
    out = np.empty((series, steps))
    for t in range(steps):
        x = phi * x + rng.standard_normal(series)
        out[:, t] = x
    return out


@pytest.mark.parametrize(
    ("phi", "steps", "least"), [(0.0, 400, 0.91), (0.6, 400, 0.89), (0.6, 1000, 0.9), (0.9, 1000, 0.89)]
)
def test_the_interval_covers_the_true_mean_as_often_as_it_says(phi, steps, least):
    found = [mean_interval(x, seed=i) for i, x in enumerate(autoregressive(steps, phi, 300, seed=3))]
    coverage = np.mean([i.low <= 0 <= i.high for i in found])
    # 300 series: a true 95 % shows up as 92.5 to 97.5 %
    assert least <= coverage <= 0.985
    # and the width is that of the mean's true distribution, 2 * 1.96 / ((1 - phi) sqrt(T))
    width = np.mean([i.high - i.low for i in found]) / (2 * 1.96 / ((1 - phi) * np.sqrt(steps)))
    assert 0.85 < width < 1.2


def test_single_steps_would_have_promised_too_much():
    found = [(x, mean_interval(x)) for x in autoregressive(400, 0.9, 20)]
    naive = [2 * 1.96 * x.std() / np.sqrt(len(x)) for x, _ in found]
    # for phi = 0.9 the true spread of the mean is sqrt((1 + phi) / (1 - phi)) = 4.4 times that of independent values
    assert np.mean([i.high - i.low for _, i in found]) > 3 * np.mean(naive)


def test_the_difference_of_two_runs_covers_its_truth():
    a, b = autoregressive(500, 0.5, 300, seed=1), autoregressive(300, 0.8, 300, seed=2)
    found = [difference(x + 2, y) for x, y in zip(a, b, strict=True)]
    assert 0.89 < np.mean([i.low <= 2 <= i.high for i in found]) <= 0.985


def test_hand_worked_values():
    few = mean_interval([1, 2, np.nan, 6])
    assert (few.value, few.samples, few.measurable) == (3.0, 3, False)
    nothing = mean_interval([np.nan, np.inf])
    assert np.isnan(nothing.value)
    assert nothing.samples == 0
    assert str(nothing) == "not measurable"
    constant = mean_interval(np.full(50, 0.25))
    assert (constant.value, constant.low, constant.high) == (0.25, 0.25, 0.25)
    assert difference(np.full(20, 5.0), np.full(30, 3.0)).value == 2


def test_a_function_of_means():
    columns = np.array([[1.0, 2.0], [3.0, 4.0]] * 10)
    found = interval([columns], lambda m: m[0][..., 1] / m[0][..., 0])
    assert found.value == pytest.approx(3 / 2)
    assert found.low <= 1.5 <= found.high


def test_the_seed_fixes_the_interval():
    x = np.random.default_rng(0).standard_normal(100)
    assert mean_interval(x, seed=1) == mean_interval(x, seed=1)
    assert mean_interval(x, seed=1) != mean_interval(x, seed=2)


def test_a_level_is_a_probability():
    with pytest.raises(ValueError, match=r"level=95.*0\.95"):
        mean_interval(np.arange(20.0), level=95)


def test_block_lengths():
    white = np.median([block_length(x) for x in autoregressive(1000, 0.0, 30)])
    slow = np.median([block_length(x) for x in autoregressive(1000, 0.9, 30)])
    assert white <= 3
    # theory for AR(1): (2 G^2 / D)^(1/3) n^(1/3) with G / g(0) = 2 phi / (1 - phi^2), D = 4/3 g(0)^2; phi = 0.9, n = 1000: 51
    G = 2 * 0.9 / (1 - 0.9**2)
    expected = (1.5 * G**2) ** (1 / 3) * 10
    assert expected == pytest.approx(51, abs=1)
    assert 0.6 * expected < slow < 1.5 * expected
    assert block_length(np.full(100, 3.0)) == 1
    assert mean_interval(np.arange(800.0)).block == 100  # a trend: as few blocks as are allowed, 8


def test_a_long_series_is_quick_and_right():
    x = np.random.default_rng(0).standard_normal(200_000) + 1
    found = mean_interval(x)
    assert found.high - found.low == pytest.approx(2 * 1.96 / np.sqrt(200_000), rel=0.15)


def test_running_mean_by_hand():
    np.testing.assert_allclose(running_mean([1, 2, 3, 10], 3), [1.5, 2, 5, 6.5])
    np.testing.assert_allclose(running_mean([1, 2, 3, 10], 2), [1, 1.5, 2.5, 6.5])
    np.testing.assert_allclose(running_mean([1, np.nan, np.nan, np.nan, 5], 3), [1, 1, np.nan, 5, 5])
    np.testing.assert_array_equal(running_mean([4, 7], 1), [4, 7])
    assert running_mean([], 3).shape == (0,)
    with pytest.raises(ValueError, match="window=0"):
        running_mean([1], 0)


def test_fluctuations_estimate_the_variance_around_a_trend():
    rng = np.random.default_rng(0)
    x = 3 * rng.standard_normal(20_000) + np.linspace(0, 500, 20_000)
    assert np.mean(fluctuations(x, 20) ** 2) == pytest.approx(9, rel=0.05)
    # two in a window: half the difference, times sqrt(2)
    np.testing.assert_allclose(fluctuations([1, 3], 2), [np.nan, np.sqrt(2)])
    np.testing.assert_array_equal(np.isnan(fluctuations([1, np.nan, 3, 4], 2)), [True, True, True, False])


def test_pairs_cancel_what_both_runs_have_in_common():
    trend = 10 * np.exp(-np.linspace(0, 3, 500))
    found = []
    for x, y in zip(autoregressive(500, 0.5, 300, seed=4), autoregressive(500, 0.5, 300, seed=5), strict=True):
        absent = np.where(np.arange(500) % 7 == 0, np.nan, y)
        found.append((paired_difference(trend + x + 1, trend + y), difference(trend + x + 1, trend + y), absent))
    assert 0.9 <= np.mean([p.low <= 1 <= p.high for p, _, _ in found]) <= 0.985
    width = np.mean([p.high - p.low for p, _, _ in found])
    assert width < 0.35 * np.mean([d.high - d.low for _, d, _ in found])
    # true deviation of the mean difference: sqrt(2) / (1 - phi) / sqrt(T)
    assert width == pytest.approx(2 * 1.96 * np.sqrt(2) / 0.5 / np.sqrt(500), rel=0.12)


def test_pairs_with_gaps_by_hand():
    nan = np.nan
    a, b = [1, 2, 3, nan] * 10, [1, nan, 1, 1] * 10
    found = paired_difference(a, b)
    assert (found.value, found.samples) == (1.0, 30)
    assert found.low <= 1 <= found.high
    assert not paired_difference([1.0] * 20, [nan] * 15 + [1.0] * 5).measurable
    with pytest.raises(ValueError, match="20 and 3"):
        paired_difference(np.ones(20), np.ones(3))


def test_ends_lie_in_the_range_of_what_is_estimated():
    found = Interval(0.9, 0.7, 1.1, 50, 5)
    assert found.within(0.0, 1.0) == Interval(0.9, 0.7, 1.0, 50, 5)
    assert found.within(0.8, 1.0) == Interval(0.9, 0.8, 1.0, 50, 5)
    assert not Interval(0.9, math.nan, math.nan, 2, 0).within(0.0, 1.0).measurable
