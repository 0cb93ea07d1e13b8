"""Confidence intervals for averages over the correlated steps of a training run, by resampling blocks of neighbouring steps.

A measured series x[t] is autocorrelated (momentum, learning-rate decay, slow learning), so that resampling single steps
would promise too much. Whole blocks of neighbouring steps are resampled instead: moving blocks (Kuensch 1989) that wrap
around from the end to the start, so that every step is drawn equally often (Politis and Romano 1992). The block length
follows from the series' own autocorrelation (Politis and White 2004, corrected by Patton, Politis and White 2009).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
# Computes the quantity of interest from each run's column means: list of [..., M] -> [...].
Statistic = Callable[[list[Floats]], Floats]

LEVEL = 0.95
RESAMPLES = 2000
# Fewest values, and fewest whole blocks, from which an interval is made.
FEWEST = 8
# Longer series are averaged in equal bins first: that changes no mean, keeps the dependence and bounds the time.
MOST = 8192
# Blocks are this much longer than what minimises the mean squared error of the variance: that optimum accepts too narrow
# intervals (90 % instead of 95 % for 1000 values of an AR(1) series at 0.9); twice the length covers 94 %.
LENGTHENED = 2
# Memory of one resampling, in drawn blocks.
_DRAWS_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Interval:
    """An estimate and its confidence interval.

    Attributes:
        value: The estimate; NaN where there is nothing to estimate it from.
        low: Lower end of the interval; NaN where there are too few values for one.
        high: Upper end; NaN likewise.
        samples: Measured steps behind it (the smaller number of two series).
        block: Steps per resampled block (the larger of two series); 0 without an interval.
    """

    value: float
    low: float
    high: float
    samples: int
    block: int

    @property
    def measurable(self) -> bool:
        """Whether there is an interval at all."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def within(self, least: float, most: float) -> Interval:
        """Returns it with ends that lie in the range of what is estimated; ends that are missing stay so."""
        return replace(self, low=_clamped(self.low, least, most), high=_clamped(self.high, least, most))

    def __str__(self) -> str:
        if not self.measurable:
            return f"{self.value:.3g}" if math.isfinite(self.value) else "not measurable"
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


def _clamped(value: float, least: float, most: float) -> float:
    return value if math.isnan(value) else min(max(value, least), most)


def mean_interval(series: ArrayLike, *, level: float = LEVEL, seed: int = 0) -> Interval:
    """Returns the mean of a series [T] in time order with its block-bootstrap interval.

    NaN (absent) and infinite values are left out.
    """
    return interval([np.asarray(series, dtype=np.float64)[:, None]], lambda m: m[0][..., 0], level=level, seed=seed)


def difference(a: ArrayLike, b: ArrayLike, *, level: float = LEVEL, seed: int = 0) -> Interval:
    """Returns mean(a) - mean(b) of two series [T], [S] of different runs, resampled independently of each other.

    For series that were measured at the same steps, ``paired_difference`` is more precise.
    """
    columns = [np.asarray(x, dtype=np.float64)[:, None] for x in (a, b)]
    return interval(columns, lambda m: m[0][..., 0] - m[1][..., 0], level=level, seed=seed)


def paired_difference(a: ArrayLike, b: ArrayLike, *, level: float = LEVEL, seed: int = 0) -> Interval:
    """Returns mean(a) - mean(b) of two series [T] measured at the same steps, resampled together.

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
    found = interval([np.stack(columns, axis=1)], _difference_of_means, level=level, seed=seed)
    fewest = int(min(there.sum() for there in present))
    if fewest < FEWEST:
        return Interval(found.value, math.nan, math.nan, fewest, 0)
    return Interval(found.value, found.low, found.high, fewest, found.block)


def interval(
    runs: list[Floats],
    statistic: Statistic,
    *,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Returns a function of column means with its block-bootstrap interval.

    The ends are the bootstrap's percentiles, moved away from the estimate by the ratio of Student's t with as many degrees
    of freedom as there are whole blocks (less one) to the normal quantile, and by sqrt(k / (k - 1)) for k blocks: with few
    blocks the bare percentiles are too narrow.

    Args:
        runs: Per run, [T, M] columns in time order that belong together; a row that is not finite is left out.
        statistic: Takes per run the means [..., M], returns the quantity [...].
        level: Probability with which the interval should cover the truth.
        seed: Seed of the resampling.

    Raises:
        ValueError: A level outside (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level}; give a probability between 0 and 1, such as 0.95")
    rows = [x[np.isfinite(x).all(1)] for x in runs]
    samples = min(len(x) for x in rows)
    if samples == 0:
        return Interval(math.nan, math.nan, math.nan, 0, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float(statistic([x.mean(0) for x in rows]))
        if samples < FEWEST or not math.isfinite(value):
            return Interval(value, math.nan, math.nan, samples, 0)
        rng = np.random.default_rng(seed)
        resampled, blocks, lengths = [], math.inf, 0
        for index, x in enumerate(rows):
            bins = _binned(x, MOST)
            per_bin = len(x) // len(bins)
            block = max(
                1, min(LENGTHENED * block_length(_influence(rows, index, statistic, bins)), len(bins) // FEWEST)
            )
            resampled.append(_block_means(bins, block, rng))
            blocks, lengths = min(blocks, len(bins) / block), max(lengths, block * per_bin)
        drawn = statistic(resampled)
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) < RESAMPLES // 2:  # the quantity is undefined in most resamples, e.g. a ratio over zeros
        return Interval(value, math.nan, math.nan, samples, lengths)
    tail = (1 - level) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    widening = _t_over_z(1 - tail, blocks - 1) * math.sqrt(blocks / (blocks - 1))
    return Interval(
        value, value + widening * (float(low) - value), value + widening * (float(high) - value), samples, lengths
    )


def block_length(x: ArrayLike) -> int:
    """Returns the optimal block length of a series [T] without NaN: (2 G^2 / D)^(1/3) T^(1/3), at most T // 8.

    G and D are sums of autocovariances, weighted with a flat-top window that ends where they sink into the noise (Politis
    and White 2004, with the constant 4/3 of the circular bootstrap). 1 for white noise.
    """
    x = np.asarray(x, dtype=np.float64)
    n = len(x)
    longest = max(1, n // FEWEST)
    centred = x - x.mean()
    variance = float(centred @ centred) / n
    if n < FEWEST or variance <= 1e-24 * float(np.mean(x**2)):
        return 1
    quiet = max(5, int(math.sqrt(math.log10(n))))
    lags = min(n - 1, math.ceil(math.sqrt(n)) + quiet)
    covariance = np.array([centred[: n - k] @ centred[k:] / n for k in range(lags + 1)])
    bound = 2 * math.sqrt(math.log10(n) / n)
    small = np.abs(covariance[1:] / variance) < bound
    # The first lag after which `quiet` autocorrelations in a row cannot be told from zero.
    runs_of_small = np.flatnonzero(np.convolve(small, np.ones(quiet), "valid") >= quiet)
    last = int(runs_of_small[0]) if len(runs_of_small) else lags
    window = min(2 * max(last, 1), lags)
    k = np.arange(-window, window + 1)
    weight = np.clip(2 * (1 - np.abs(k) / window), 0, 1)
    both_sides = covariance[np.abs(k)]
    spectrum = float(weight @ both_sides)
    slope = float(weight @ (np.abs(k) * both_sides))
    if spectrum <= 0:
        return 1
    optimal = (2 * slope**2 / (4 / 3 * spectrum**2)) ** (1 / 3) * n ** (1 / 3)
    return int(min(max(1, math.ceil(optimal)), longest))


def _difference_of_means(means: list[Floats]) -> Floats:
    """Returns the difference of two means from the means [..., 4] of value, presence, value, presence."""
    m = means[0]
    return np.asarray(m[..., 0] / m[..., 1] - m[..., 2] / m[..., 3])


def _influence(runs: list[Floats], index: int, statistic: Statistic, x: Floats) -> Floats:
    """Returns [T] how each row of ``x``, the columns of run ``index``, moves the statistic, to first order.

    Its autocorrelation decides how long blocks must be: a trend that cancels in the statistic needs none.
    """
    means = [run.mean(0) for run in runs]
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
    return np.asarray((x - x.mean(0)) @ np.nan_to_num(derivative, posinf=0.0, neginf=0.0))


def _block_means(x: Floats, block: int, rng: np.random.Generator) -> Floats:
    """Returns [RESAMPLES, M] means of resampled series: ceil(T / block) wrapped blocks of ``x`` [T, M] each."""
    n = len(x)
    centre = x.mean(0)  # running sums of centred values do not cancel
    total = np.concatenate([np.zeros((1, x.shape[1])), np.cumsum(np.concatenate([x, x[:block]]) - centre, axis=0)])
    sums = total[block : block + n] - total[:n]  # [T, M] sum of the block that starts at each step
    count = -(-n // block)
    chunk = max(1, _DRAWS_AT_ONCE // (count * x.shape[1]))
    means = [
        sums[rng.integers(0, n, (min(chunk, RESAMPLES - start), count))].mean(1) / block
        for start in range(0, RESAMPLES, chunk)
    ]
    return np.asarray(np.concatenate(means) + centre)


def _binned(x: Floats, most: int) -> Floats:
    """Averages neighbouring rows of [T, M] in equal bins so that at most ``most`` are left; a short rest at the end is cut."""
    size = -(-len(x) // most)
    whole = len(x) // size
    return x if size == 1 else np.asarray(x[: whole * size].reshape(whole, size, -1).mean(1))


def _t_over_z(probability: float, freedom: float) -> float:
    """Returns Student's t quantile over the normal one (Cornish-Fisher series; within 1 % from 6 degrees of freedom on)."""
    z = NormalDist().inv_cdf(probability)
    v = freedom
    return (
        1
        + (z**2 + 1) / (4 * v)
        + (5 * z**4 + 16 * z**2 + 3) / (96 * v**2)
        + (3 * z**6 + 19 * z**4 + 17 * z**2 - 15) / (384 * v**3)
    )
