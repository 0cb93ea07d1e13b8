"""Confidence intervals for averages over the correlated steps of a training run.

A measured series x[t] may be autocorrelated (momentum, learning-rate decay, slow learning), so that its steps count for fewer
than they are. How precisely its mean is known follows from its power at low frequencies (``low_frequencies``), with
Student's t. A function of several means is as precise as the mean of its influence series, which says how each step moves it
to first order (delta method). Where steps are too few for how slowly a series changes, there is no interval, and the reason is
given instead: an interval that covers less than it says would be worse than none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradlens.estimation.low_frequencies import powers, usable
from gradlens.estimation.student import t_quantile

Floats = NDArray[np.float64]
# Computes the quantity of interest from each run's column means: list of [M] -> a number.
Statistic = Callable[[list[Floats]], Floats]

LEVEL = 0.95
# Fewest values from which an interval is made.
FEWEST = 40
# Longer series are averaged in equal bins first: that changes no mean, keeps the slow changes and bounds the time.
MOST = 8192
# So many reasons are listed.
REASONS = 3
TOO_SLOW = "too few measured steps for how slowly this changes"


@dataclass(frozen=True)
class Interval:
    """An estimate and its confidence interval.

    Attributes:
        value: The estimate; NaN where there is nothing to estimate it from.
        low: Lower end of the interval; NaN where there is none.
        high: Upper end; NaN likewise.
        samples: Measured steps behind it (the smaller number of two series).
        freedom: Degrees of freedom of its Student's t; 0 without an interval.
        why: Why there is no interval, or "".
    """

    value: float
    low: float
    high: float
    samples: int
    freedom: float
    why: str = ""

    @classmethod
    def none(cls, value: float, samples: int, why: str = "") -> Interval:
        """Returns an estimate without an interval."""
        if not why and samples < FEWEST:
            why = f"{samples} measured steps have all that it takes; an interval needs {FEWEST}"
        return cls(
            value, math.nan, math.nan, samples, 0.0, why or "the values do not vary, or not in a way to judge by"
        )

    @property
    def measurable(self) -> bool:
        """Whether there is an interval at all."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def within(self, least: float, most: float) -> Interval:
        """Returns it with ends that lie in the range of what is estimated; ends that are missing stay so."""
        return replace(self, low=_clamped(self.low, least, most), high=_clamped(self.high, least, most))

    def verdict(self, threshold: float = 0.0) -> bool | None:
        """Says where the interval lies: True above the threshold, False below it, None where it holds it or is missing."""
        if not self.measurable or self.low <= threshold <= self.high:
            return None
        return self.low > threshold

    def __str__(self) -> str:
        if not self.measurable:
            return f"{self.value:.3g}" if math.isfinite(self.value) else "not measurable"
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


def why_none(found: Iterable[Interval]) -> str:
    """Says in one sentence why some of these have no interval; "" where all that have a value have one."""
    reasons = list(dict.fromkeys(x.why for x in found if not x.measurable and math.isfinite(x.value)))
    more = "; ..." if len(reasons) > REASONS else ""
    return f"Without an interval: {'; '.join(reasons[:REASONS])}{more}." if reasons else ""


def _clamped(value: float, least: float, most: float) -> float:
    return value if math.isnan(value) else min(max(value, least), most)


def mean_interval(series: ArrayLike, *, level: float = LEVEL) -> Interval:
    """Returns the mean of a series [T] in time order with its interval.

    NaN (absent) and infinite values are left out.
    """
    return interval([np.asarray(series, dtype=np.float64)[:, None]], lambda m: m[0][0], level=level)


def difference(a: ArrayLike, b: ArrayLike, *, level: float = LEVEL) -> Interval:
    """Returns mean(a) - mean(b) of two series [T], [S] of different runs, which are independent of each other.

    For series that were measured at the same steps, ``paired_difference`` is more precise.
    """
    columns = [np.asarray(x, dtype=np.float64)[:, None] for x in (a, b)]
    return interval(columns, lambda m: m[0][0] - m[1][0], level=level)


def paired_difference(a: ArrayLike, b: ArrayLike, *, level: float = LEVEL) -> Interval:
    """Returns mean(a) - mean(b) of two series [T] measured at the same steps.

    What both have in common, such as the trend of a training, so cancels. Steps at which only one is present count for that one.

    Raises:
        ValueError: Series of different lengths, or a level outside (0, 1).
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
    """Returns a function of column means with its interval.

    Args:
        runs: Per run, [T, M] columns in time order that belong together; a row that is not finite is left out.
        statistic: Takes per run the means [M], returns the quantity.
        level: Probability with which the interval should cover the truth.

    Raises:
        ValueError: A level outside (0, 1).
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
    """Returns an estimate with the interval that its influence series give it.

    Args:
        value: The estimate.
        influences: Per independent run, [T] in time order: how each step moves the estimate, to first order; that of the mean
            of a series is the series itself.
        level: Probability with which the interval should cover the truth.
        slowness: The least coefficient of the AR(1) process that stands for a series, where more is known than it says.

    Raises:
        ValueError: A level outside (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level}; give a probability between 0 and 1, such as 0.95")
    samples = min(len(x) for x in influences)
    if samples < FEWEST or not math.isfinite(value):
        return Interval.none(value, samples)
    found = [_variance_of_mean(x, slowness) for x in influences]
    if any(freedom == 0 for _, freedom in found):
        return Interval.none(value, samples, TOO_SLOW)
    total = sum(variance for variance, _ in found)
    # Welch-Satterthwaite: the variances of independent runs add up.
    weights = sum(variance**2 / freedom for variance, freedom in found)
    freedom = total**2 / weights if weights > 0 else float(min(freedom for _, freedom in found))
    reach = t_quantile((1 + level) / 2, freedom) * math.sqrt(total)
    return Interval(value, value - reach, value + reach, samples, freedom)


def _variance_of_mean(x: Floats, slowness: float) -> tuple[float, int]:
    """Returns the variance of the mean of a series [T] and its degrees of freedom; 0 of them = unknown."""
    bins = _binned(x, MOST)
    n = len(bins)
    spread = float(bins.std())
    if not spread > 1e-12 * float(np.abs(bins).max(initial=0.0)):  # constant but for rounding
        return 0.0, n - 1
    power = powers(bins / spread)
    count = usable(power, slowness)
    return (spread**2 * float(power[:count].mean()) / n if count else math.nan), count


def _gradient(statistic: Statistic, means: list[Floats], x: Floats, index: int) -> Floats:
    """Returns [M] the derivative of the statistic by the means of run ``index``, whose rows are ``x``."""
    derivative = np.zeros(x.shape[1])
    for m, spread in enumerate(x.std(0)):
        step = 1e-4 * spread
        if step > 0:
            ends = []
            for sign in (1, -1):
                moved = [mean.copy() for mean in means]
                moved[index][m] += sign * step
                ends.append(float(statistic(moved)))
            derivative[m] = (ends[0] - ends[1]) / (2 * step)
    return np.nan_to_num(derivative, posinf=0.0, neginf=0.0)


def _binned(x: Floats, most: int) -> Floats:
    """Averages neighbouring values of [T] in equal bins so that at most ``most`` are left; a short rest at the end is cut."""
    size = -(-len(x) // most)
    whole = len(x) // size
    return x if size == 1 else np.asarray(x[: whole * size].reshape(whole, size).mean(1))
