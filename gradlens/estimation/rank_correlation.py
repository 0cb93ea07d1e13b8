"""Spearman's rank correlation of two series, with its interval: how closely they rise and fall together.

It uses ranks, because gradient norms have heavy tails. A few extreme steps would decide the product-moment correlation.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradlens.estimation.interval import FEWEST, Interval
from gradlens.estimation.intervals import LEVEL, linear_interval
from gradlens.estimation.low_frequencies import ar1_coefficient, at_most, powers

Floats = NDArray[np.float64]

# How many standard errors are added to the AR(1) coefficient of each series.
CAUTION = 0.5


def rank_correlation(x: ArrayLike, y: ArrayLike, *, level: float = LEVEL) -> Interval:
    """Returns Spearman's correlation of two series [T] of the same steps, with its interval.

    Steps at which a value is missing or infinite are left out. The interval is computed on Fisher's scale, atanh, where errors
    are symmetric. The interval of a perfect correlation has no width.

    Raises:
        ValueError: The level is not between 0 and 1.
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    both = np.isfinite(a) & np.isfinite(b)
    n = int(both.sum())
    if n < 2:
        return Interval.none(math.nan, n)
    u, v = _ranks(a[both]), _ranks(b[both])
    scale = u.std() * v.std()
    if scale == 0:
        return Interval.none(math.nan, n)
    value = float(min(max((u @ v) / n / scale, -1.0), 1.0))
    # A step moves the correlation by its own ranks, and because it raises the ranks of all steps above it.
    influence = (u * v + _above(u, v) + _above(v, u)) / scale - value / 2 * (
        (u**2 + 2 * _above(u, u)) / u.var() + (v**2 + 2 * _above(v, v)) / v.var()
    )
    sure = 1 - value**2
    if sure < 1e-9:
        return linear_interval(value, [np.zeros(n)], level=level)
    slowness = _slowness(u) * _slowness(v) if n >= FEWEST else 0.0
    found = linear_interval(math.atanh(value), [influence / sure], level=level, slowness=slowness)
    return replace(found, value=value, low=math.tanh(found.low), high=math.tanh(found.high))


def _slowness(ranks: Floats) -> float:
    """Returns an upper bound of the AR(1) coefficient of ranks [T]; a negative estimate counts as 0.

    The coefficient of the product of two independent AR(1) processes is the product of their coefficients (Bartlett 1935).
    It is more precise to estimate these two than that of the product.
    """
    return at_most(max(ar1_coefficient(powers(ranks)), 0.0), len(ranks), CAUTION)


def _ranks(x: Floats) -> Floats:
    """Returns [T] the ranks of the values, divided by T and shifted to mean 0. Equal values get the mean of their ranks."""
    _, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - counts / 2)[place] / len(x) - 0.5)


def _above(u: Floats, v: Floats) -> Floats:
    """Returns [T] for each step the sum of v over the steps with a larger u, divided by T. Steps with an equal u count half."""
    _, place = np.unique(u, return_inverse=True)
    sums = np.bincount(place, weights=v)
    upper = sums[::-1].cumsum()[::-1]
    return np.asarray((upper - sums / 2)[place] / len(u))
