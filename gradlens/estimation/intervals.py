"""Confidence intervals for averages over the correlated steps of a training run.

The steps of a measured series x[t] may be correlated (momentum, learning-rate decay, slow learning). T correlated steps say
less about the mean than T independent ones. How precise the mean is follows from the power of the series at low frequencies
(``low_frequencies``), with Student's t. A smooth course of the training is taken off first. What is left of a rougher course
counts as noise: then an interval covers more often than it says.

A function of several means is as precise as the mean of its influence series. This series says how much each step moves the
function, to first order (delta method).

A series that changes slowly needs more steps. Where there are too few, there is no interval, only the reason: an interval that
covers the truth less often than it says would be worse than none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradlens.estimation.interval import FEWEST, Interval
from gradlens.estimation.low_frequencies import powers, usable
from gradlens.estimation.student import t_quantile

Floats = NDArray[np.float64]
# Computes the quantity of interest from the column means [M] of each run; returns a number.
Statistic = Callable[[list[Floats]], Floats]

LEVEL = 0.95
# Longer series are first averaged in equal bins. This keeps the mean and the slow changes, and limits the time it takes.
MOST = 8192
TOO_SLOW = "too few measured steps for how slowly this changes"


def mean_interval(series: ArrayLike, *, level: float = LEVEL) -> Interval:
    """Returns the mean of a series [T] in time order, with its interval.

    NaN (absent) and infinite values are left out.

    Raises:
        ValueError: The level is not between 0 and 1.
    """
    return interval([np.asarray(series, dtype=np.float64)[:, None]], lambda m: m[0][0], level=level)


def difference(a: ArrayLike, b: ArrayLike, *, level: float = LEVEL) -> Interval:
    """Returns mean(a) - mean(b) with its interval, for series [T] and [S] of two independent runs.

    For two series that were measured at the same steps, ``paired_difference`` is more precise.

    Raises:
        ValueError: The level is not between 0 and 1.
    """
    columns = [np.asarray(x, dtype=np.float64)[:, None] for x in (a, b)]
    return interval(columns, lambda m: m[0][0] - m[1][0], level=level)


def paired_difference(a: ArrayLike, b: ArrayLike, *, level: float = LEVEL) -> Interval:
    """Returns mean(a) - mean(b) with its interval, for two series [T] that were measured at the same steps.

    Changes that both share, such as the trend of a training, cancel. If only one series has a value at a step, it counts for
    the mean of that series.

    Raises:
        ValueError: The series differ in length, or the level is not between 0 and 1.
    """
    series = [np.asarray(x, dtype=np.float64) for x in (a, b)]
    if len(series[0]) != len(series[1]):
        raise ValueError(f"series of {len(series[0])} and {len(series[1])} values have no pairs; use difference")
    present = [np.isfinite(x) for x in series]
    columns = [
        c for x, there in zip(series, present, strict=True) for c in (np.where(there, x, 0.0), there.astype(np.float64))
    ]
    found = interval([np.stack(columns, axis=1)], lambda m: m[0][0] / m[0][1] - m[0][2] / m[0][3], level=level)
    fewest = int(min(there.sum() for there in present))
    return Interval.none(found.value, fewest) if fewest < FEWEST else replace(found, samples=fewest)


def interval(runs: list[Floats], statistic: Statistic, *, level: float = LEVEL) -> Interval:
    """Returns the value of a function of column means, with its interval.

    Args:
        runs: For each run, M series of the same steps as columns [T, M], in time order. A row with a value that is not finite
            is left out.
        statistic: Takes the means [M] of each run, and returns the quantity.
        level: Probability that the interval covers the truth.

    Raises:
        ValueError: The level is not between 0 and 1.
    """
    rows = [x[np.isfinite(x).all(1)] for x in runs]
    if min(len(x) for x in rows) == 0:
        return Interval.none(math.nan, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = [x.mean(0) for x in rows]
        value = float(statistic(means))
        influences = [
            (x - m) @ _gradient(statistic, means, x, i) for i, (x, m) in enumerate(zip(rows, means, strict=True))
        ]
    return linear_interval(value, influences, level=level)


def linear_interval(
    value: float, influences: Sequence[Floats], *, level: float = LEVEL, slowness: float = 0.0
) -> Interval:
    """Returns an estimate with its interval, computed from its influence series.

    Args:
        value: The estimate.
        influences: For each independent run, [T] in time order: how much each step moves the estimate, to first order. For the
            mean of a series this is the series itself.
        level: Probability that the interval covers the truth.
        slowness: A lower bound of the AR(1) coefficient of the series, if one is known from elsewhere.

    Raises:
        ValueError: The level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level}; give a probability between 0 and 1, such as 0.95")
    samples = min(len(x) for x in influences)
    if samples < FEWEST or not math.isfinite(value):
        return Interval.none(value, samples)
    unit = max(map(_unit, influences))
    found = [_variance_of_mean(x / unit, slowness) for x in influences]
    if any(freedom == 0 for _, freedom in found):
        return Interval.none(value, samples, TOO_SLOW)
    total = sum(variance for variance, _ in found)
    # The variances of independent runs add up. Welch and Satterthwaite's rule gives the degrees of freedom of the sum.
    weights = sum(variance**2 / freedom for variance, freedom in found)
    freedom = total**2 / weights if weights > 0 else float(min(freedom for _, freedom in found))
    reach = t_quantile((1 + level) / 2, freedom) * math.sqrt(total) * unit
    return Interval(value, value - reach, value + reach, samples, freedom)


def _variance_of_mean(x: Floats, slowness: float) -> tuple[float, int]:
    """Returns the variance of the mean of a series [T], and its degrees of freedom; 0 degrees: the variance is unknown."""
    bins = _binned(x, MOST)
    n = len(bins)
    spread = float(bins.std())
    if not spread > 1e-12 * float(np.abs(bins).max(initial=0.0)):  # constant except for rounding
        return 0.0, n - 1
    power = powers(bins / spread)
    count = usable(power, slowness)
    return (spread**2 * float(power[:count].mean()) / n if count else math.nan), count


def _gradient(statistic: Statistic, means: list[Floats], x: Floats, index: int) -> Floats:
    """Returns the derivative [M] of the statistic by the means of run ``index``, whose rows are ``x``."""
    derivative = np.zeros(x.shape[1])
    unit = _unit(x)
    for m, spread in enumerate((x / unit).std(0) * unit):
        step = 1e-4 * spread
        if step > 0:
            ends = []
            for sign in (1, -1):
                moved = [mean.copy() for mean in means]
                moved[index][m] += sign * step
                ends.append(float(statistic(moved)))
            derivative[m] = (ends[0] - ends[1]) / (2 * step)
    return np.nan_to_num(derivative, posinf=0.0, neginf=0.0)


def _unit(x: Floats) -> float:
    """Returns a power of two about as large as the largest value; 1 if all are 0.

    Divided by it, values keep all their digits, and variances and their squares stay in the range of float64.
    """
    return 2.0 ** (math.frexp(float(np.abs(x).max(initial=0.0)))[1] - 1) if x.any() else 1.0


def _binned(x: Floats, most: int) -> Floats:
    """Returns the means of equal bins of neighbouring values of [T], at most ``most`` of them.

    Values at the end that do not fill a bin are dropped.
    """
    size = -(-len(x) // most)
    whole = len(x) // size
    return x if size == 1 else np.asarray(x[: whole * size].reshape(whole, size).mean(1))
