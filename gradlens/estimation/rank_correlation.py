"""How closely two series rise and fall together: Spearman's rank correlation with its interval.

Ranks, since gradient norms have heavy tails: the product-moment correlation then hangs on a few steps, and its interval with it.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradlens.estimation.intervals import FEWEST, LEVEL, Interval, linear_interval
from gradlens.estimation.low_frequencies import ar1_coefficient, at_most, powers

Floats = NDArray[np.float64]

# Standard errors that are added to the coefficients of both series.
CAUTION = 0.5


def rank_correlation(x: ArrayLike, y: ArrayLike, *, level: float = LEVEL) -> Interval:
    """Returns Spearman's correlation of two series [T] of the same steps with its interval.

    Steps at which one of them is missing are left out. The interval is made on Fisher's scale, atanh, where errors are
    symmetric; a perfect correlation has no error.
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
    # A step counts by its own ranks, and by how it moves the ranks of all above it.
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
    """Returns the AR(1) coefficient of ranks [T], or 0 where it is negative.

    The product of two independent AR(1) processes has the product of their coefficients (Bartlett 1935): the ranks tell more
    precisely than their product how slowly it changes.
    """
    return at_most(max(ar1_coefficient(powers(ranks)), 0.0), len(ranks), CAUTION)


def _ranks(x: Floats) -> Floats:
    """Returns [T] the ranks of the values, centred, in parts of T; equal values have the middle of theirs."""
    _, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - counts / 2)[place] / len(x) - 0.5)


def _above(u: Floats, v: Floats) -> Floats:
    """Returns [T] for each step the mean over all steps of v, where their u is larger; half of it where it is equal."""
    _, place = np.unique(u, return_inverse=True)
    sums = np.bincount(place, weights=v)
    upper = sums[::-1].cumsum()[::-1]
    return np.asarray((upper - sums / 2)[place] / len(u))
