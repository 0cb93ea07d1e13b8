"""Intervals: coverage on series whose mean is known, hand-worked cases, and SciPy's transform and quantiles."""

import numpy as np
import pytest

from gradlens.estimation.interval import FEWEST, Interval
from gradlens.estimation.intervals import TOO_SLOW, difference, interval, mean_interval, paired_difference
from gradlens.estimation.low_frequencies import usable
from gradlens.estimation.smoothing import fluctuations
from tests.estimation.autoregressive import autoregressive


@pytest.mark.parametrize("heavy", [False, True])
@pytest.mark.parametrize(("phi", "steps"), [(0.0, 60), (0.0, 400), (0.5, 200), (0.5, 1000), (0.9, 1000)])
def test_the_interval_covers_the_true_mean_as_often_as_it_says(phi, steps, heavy):
    found = [mean_interval(x) for x in autoregressive(steps, phi, 300, seed=3, heavy=heavy)]
    given = [i for i in found if i.measurable]
    assert len(given) > 0.6 * len(found)
    # 300 series: a true 95 % shows up as 92.5 to 97.5 %
    assert 0.915 <= np.mean([i.low <= 0 <= i.high for i in given]) <= 0.99


@pytest.mark.parametrize("steps", [12, 30, 60, 130])
@pytest.mark.parametrize("phi", [0.5, 0.9])
def test_where_steps_are_too_few_an_interval_is_refused_rather_than_wrong(phi, steps):
    found = [mean_interval(x) for x in autoregressive(steps, phi, 300, seed=4)]
    assert np.mean([i.measurable and not i.low <= 0 <= i.high for i in found]) <= 0.08
    refused = {i.why for i in found if not i.measurable}
    assert refused <= {TOO_SLOW, f"{steps} measured steps can be used; an interval needs 53"}


@pytest.mark.parametrize(("phi", "steps"), [(0.5, 110), (0.8, 300)])
def test_where_few_series_get_an_interval_those_hold_as_well(phi, steps):
    # Judged from all powers, those that got one had the smallest low powers by chance: 0.87 and less.
    found = [mean_interval(x) for x in autoregressive(steps, phi, 1500, seed=10)]
    given = [i for i in found if i.measurable]
    assert 200 < len(given) < 0.9 * len(found)
    assert 0.9 <= np.mean([i.low <= 0 <= i.high for i in given]) <= 0.98


@pytest.mark.parametrize("steps", [300, 3000])
@pytest.mark.parametrize("start", [False, True])
def test_a_trend_is_no_noise(start, steps):
    trend = 2 * np.exp(-3 * np.arange(steps) / steps)
    if start:  # a descent in the first steps, as that of a gradient's norm
        trend += 4 * np.exp(-np.arange(steps) / 3)
    found = [mean_interval(x + trend) for x in autoregressive(steps, 0.5, 300, seed=5)]
    given = [i for i in found if i.measurable]
    assert len(given) > 0.9 * len(found)
    # As noise, the trend made intervals four times as wide: they covered always.
    assert 0.915 <= np.mean([i.low <= trend.mean() <= i.high for i in given]) <= 0.98
    # true deviation of the mean: 1 / (1 - phi) / sqrt(T)
    assert np.median([i.high - i.low for i in given]) == pytest.approx(2 * 1.96 / 0.5 / np.sqrt(steps), rel=0.15)


@pytest.mark.parametrize("steps", [90, 300, 1275])
def test_a_steep_start_is_no_noise(steps):
    # The norm of a gradient falls to a twentieth at the start, as in recorded trainings, and rises again.
    step = np.arange(steps)
    course = 9 * np.exp(-step / 7 * 1275 / steps) + 0.4 + step / steps
    found = [mean_interval(0.2 * x + course) for x in autoregressive(steps, 0.1, 400, seed=8)]
    given = [i for i in found if i.measurable]
    assert len(given) > 0.8 * len(found)
    # A parabola and a logarithm of the step left so much of the start that all intervals held the truth.
    assert 0.915 <= np.mean([i.low <= course.mean() <= i.high for i in given]) <= 0.985
    assert np.median([i.high - i.low for i in given]) == pytest.approx(2 * 1.96 * 0.2 / 0.9 / np.sqrt(steps), rel=0.25)


def test_the_fewest_steps_are_those_from_which_on_a_series_can_have_an_interval():
    assert usable(np.ones(FEWEST - 6)) == 0
    assert usable(np.ones(FEWEST - 5)) > 0


def test_two_runs_of_one_heavy_tailed_distribution_do_not_differ():
    runs = [autoregressive(500, 0.0, 300, seed=seed, heavy=True) for seed in (6, 7)]
    verdicts = []
    for a, b in zip(*runs, strict=True):
        verdicts.append(difference(*(np.log(np.abs(fluctuations(x, 25))) for x in (a, b))).verdict())
    # Of squares instead, a tenth and more; 15 to 25 % with resampled blocks.
    assert np.mean([verdict is not None for verdict in verdicts]) <= 0.08


def test_a_verdict_has_three_values():
    assert [Interval(0, *ends, 50, 9.0).verdict(1.0) for ends in ((1.1, 2), (0.5, 0.9), (0.9, 1.1))] == [
        True, False, None,
    ]  # fmt: skip
    assert Interval.none(3.0, 5).verdict() is None


def test_single_steps_would_have_promised_too_much():
    found = [(x, mean_interval(x)) for x in autoregressive(1000, 0.9, 40)]
    naive = [2 * 1.96 * x.std() / np.sqrt(len(x)) for x, _ in found]
    # for phi = 0.9 the true spread of the mean is sqrt((1 + phi) / (1 - phi)) = 4.4 times that of independent values
    assert np.nanmean([i.high - i.low for _, i in found]) > 3 * np.mean(naive)


def test_the_difference_of_two_runs_covers_its_truth():
    a, b = autoregressive(500, 0.5, 300, seed=1), autoregressive(300, 0.7, 300, seed=2)
    found = [i for x, y in zip(a, b, strict=True) if (i := difference(x + 2, y)).measurable]
    assert len(found) > 200
    assert 0.91 < np.mean([i.low <= 2 <= i.high for i in found]) <= 0.985


def test_hand_worked_values():
    few = mean_interval([1, 2, np.nan, 6])
    assert (few.value, few.samples, few.measurable) == (3.0, 3, False)
    nothing = mean_interval([np.nan, np.inf])
    assert np.isnan(nothing.value)
    assert nothing.samples == 0
    assert str(nothing) == "not measurable"
    constant = mean_interval(np.full(60, 0.25))
    assert (constant.value, constant.low, constant.high) == (0.25, 0.25, 0.25)
    assert difference(np.full(53, 5.0), np.full(60, 3.0)) == Interval(2.0, 2.0, 2.0, 53, 52.0)


@pytest.mark.parametrize("exponent", [-900, -300, 300, 600, 1000])
def test_huge_and_tiny_values_have_the_interval_of_usual_ones(exponent):
    factor = 2.0**exponent
    a, b = 1 + np.random.default_rng(3).standard_normal((2, 200))
    for scaled, usual in (
        (mean_interval(factor * a), mean_interval(a)),
        (difference(factor * a, factor * b), difference(a, b)),
    ):
        expected = [factor * each for each in (usual.value, usual.low, usual.high)]
        np.testing.assert_allclose([scaled.value, scaled.low, scaled.high], expected, rtol=1e-9, atol=0)
        assert scaled.freedom == pytest.approx(usual.freedom)


def test_a_function_of_means():
    rng = np.random.default_rng(0)
    columns = rng.normal([2.0, 3.0], 0.1, (300, 2))
    found = interval([columns], lambda m: m[0][1] / m[0][0])
    assert found.value == pytest.approx(columns[:, 1].mean() / columns[:, 0].mean())
    # delta method by hand: 1.5 sqrt(0.1^2 / 2^2 + 0.1^2 / 3^2) / sqrt(300)
    deviation = 1.5 * 0.1 * np.sqrt(1 / 4 + 1 / 9) / np.sqrt(300)
    assert found.high - found.low == pytest.approx(2 * 1.96 * deviation, rel=0.2)


def test_a_level_is_a_probability():
    with pytest.raises(ValueError, match=r"level=95.*0\.95"):
        mean_interval(np.arange(20.0), level=95)


def test_a_long_series_is_quick_and_right():
    x = np.random.default_rng(0).standard_normal(200_000) + 1
    found = mean_interval(x)
    assert found.high - found.low == pytest.approx(2 * 1.96 / np.sqrt(200_000), rel=0.15)


def test_pairs_cancel_what_both_runs_have_in_common():
    trend = 10 * np.exp(-np.linspace(0, 3, 500))
    found = []
    noise = (autoregressive(500, phi, 300, seed=seed) for phi, seed in ((0.5, 4), (0.5, 5), (0.8, 6)))
    for x, y, common in zip(*noise, strict=True):
        absent = np.where(np.arange(500) % 7 == 0, np.nan, y)
        found.append(
            (
                paired_difference(trend + common + x + 1, trend + common + y),
                difference(trend + common + x + 1, trend + common + y),
                absent,
            )
        )
    assert 0.91 <= np.mean([p.low <= 1 <= p.high for p, _, _ in found]) <= 0.985
    width = np.mean([p.high - p.low for p, _, _ in found])
    # Unpaired, the common noise counts twice.
    assert np.nanmean([d.high - d.low for _, d, _ in found]) > 2 * width
    # true deviation of the mean difference: sqrt(2) / (1 - phi) / sqrt(T)
    assert width == pytest.approx(2 * 1.96 * np.sqrt(2) / 0.5 / np.sqrt(500), rel=0.12)


def test_pairs_with_gaps_by_hand():
    nan = np.nan
    a, b = [1, 2, 3, nan] * 20, [1, nan, 1, 1] * 20
    found = paired_difference(a, b)
    assert (found.value, found.samples) == (1.0, 60)
    assert found.low <= 1 <= found.high
    assert not paired_difference([1.0] * 20, [nan] * 15 + [1.0] * 5).measurable
    with pytest.raises(ValueError, match="20 and 3"):
        paired_difference(np.ones(20), np.ones(3))


def test_ends_lie_in_the_range_of_what_is_estimated():
    found = Interval(0.9, 0.7, 1.1, 50, 5)
    assert found.within(0.0, 1.0) == Interval(0.9, 0.7, 1.0, 50, 5)
    assert found.within(0.8, 1.0) == Interval(0.9, 0.8, 1.0, 50, 5)
    assert not Interval.none(0.9, 2).within(0.0, 1.0).measurable
