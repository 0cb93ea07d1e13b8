"""Estimates half the L1 distance between average shares and class fractions, without the bias of noise.

The average of a noisy share differs from its fraction by d_k = delta_k + e_k z_k, where e_k is its standard error and z_k is
standard normal. The plain distance of such averages is too large: even where all delta_k are 0, it is 0.4 (e_1 + ... + e_K).

So |d_k| is replaced by a smooth function of d_k and e_k whose expectation is nearly |delta_k|. No function has exactly this
expectation, because |x| has a corner at 0 (Cai and Low 2011). The bias that is left is at most a fifth of e_k for each group,
up or down, and nearly 0 from 3 standard errors on. The standard deviation is 1.2 to 1.3 e_k near 0, and e_k far from it. Both
are taken from smooth functions of d_k and e_k whose expectations are near them. Intervals allow for such a bias (``bounded``).

The bias of K groups near 0 grows like K, the standard error like the square root of K. For many groups the bias decides. Then an
interval that is right for the worst bias covers nearly always for others, and a shorter one would be wrong for the worst. So
there is none. Two groups need no correction: their distance is the absolute value of one signed number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from gradlens.estimation.bounded import at_least_zero, critical_value, of_magnitude
from gradlens.estimation.interval import Interval
from gradlens.estimation.intervals import LEVEL, MOST, Floats, linear_interval
from gradlens.estimation.low_frequencies import FEWEST_POWERS, powers, usable
from gradlens.estimation.student import t_quantile

# These bumps, (height, width), are subtracted from |z|. For z ~ N(delta, 1) the expectation of the result differs from |delta|
# by at most 0.21, for every delta.
BUMPS = ((2.0, 0.5), (-0.42, 1.0))
# The expectation of 1 plus this bump is near the variance of the result: the standard deviation is at most 6 % too small, and at
# most 11 % too large (at delta = 0).
EXCESS = (0.9, 1.3)
# The expectation of this bump is at least the bias, up to 0.02.
BOUND = (0.26, 1.5)
# There is an interval if the bound of the bias is at most this many standard errors. With more, an interval that is right for
# the worst bias would cover in over 97.5 % of cases where there is no bias.
MOST_BIAS = 0.6
TOO_CLOSE = "many groups are so close to their fractions of the classes that the bias of noise decides"
# The powers of fewer steps than this are mostly trend.
FEWEST_STEPS = 20
# The shares of two groups add up to 1, but for this much.
ROUNDING = 1e-3
# Mean of |z| for a standard normal z.
FOLDED = math.sqrt(2 / math.pi)


@dataclass(frozen=True)
class Distance:
    """An estimated distance.

    Attributes:
        value: The estimate, at least 0; NaN if there is no step.
        noise: The plain distance that noise alone would give; NaN if it is unknown (a single step).
        bias: Upper bound of the bias that is left.
        too_close: Whether this is too much against the standard error of K groups with independent noise for an interval.
        influence: [T] how much each step moves the estimate.
        gap: [T] for two groups, the first one's share less its fraction. The distance is the absolute value of its expectation.
            Empty for other groups, and where other parts of the loss have a share, too.
    """

    value: float
    noise: float
    bias: float
    too_close: bool
    influence: Floats
    gap: Floats


def distance(shares: Floats, fractions: Floats) -> Distance:
    """Estimates half the L1 distance between the expected shares and the fractions.

    Args:
        shares: [T, K] shares in time order, without NaN.
        fractions: [K].
    """
    n = len(shares)
    if n == 0:
        return Distance(math.nan, math.nan, math.nan, False, np.empty(0), np.empty(0))
    gaps = shares.mean(0) - fractions
    errors = np.sqrt(step_variances(shares) / n)
    known = np.isfinite(errors)
    errors = np.where(known, errors, 0.0)
    squared = _squared(gaps, errors)
    weights = np.sign(gaps) * np.sqrt(1 + _bump(squared, *EXCESS))
    bias = 0.5 * float((errors * _bump(squared, *BOUND)).sum())
    two = len(gaps) == 2 and bool((np.abs(shares.sum(1) - fractions.sum()) < ROUNDING).all())
    return Distance(
        max(float(corrected(gaps, errors)), 0.0),
        0.5 * FOLDED * float(errors.sum()) if known.all() else math.nan,
        bias,
        bias > MOST_BIAS * 0.5 * float(np.linalg.norm(weights * errors)),
        0.5 * (shares - fractions) @ weights,
        0.5 * (shares - fractions) @ np.array([1.0, -1.0]) if two else np.empty(0),
    )


def corrected(gaps: ArrayLike, errors: ArrayLike) -> Floats:
    """Returns half the sum of |expected gap| over the K groups, shape [...], without the bias of noise.

    Args:
        gaps: [..., K] noisy gaps between shares and fractions.
        errors: [..., K] their standard errors.
    """
    d, e = np.asarray(gaps, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    squared = _squared(d, e)
    taken = sum(_bump(squared, *bump) for bump in BUMPS)
    return np.asarray(0.5 * (np.abs(d) - e * taken).sum(-1))


def _squared(gaps: Floats, errors: Floats) -> Floats:
    """Returns the squares of the gaps in standard errors; infinity where there is no error."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(errors > 0, (gaps / errors) ** 2, np.inf)


def _bump(squared: Floats, height: float, width: float) -> Floats:
    return np.asarray(height * np.exp(-squared / (2 * width**2)))


def distance_interval(parts: list[Distance], *, level: float = LEVEL) -> Interval:
    """Returns a distance with its interval.

    Args:
        parts: One distance, or the distances of two independent runs: then it is the first minus the second.
        level: Probability that the interval covers the truth.

    Raises:
        ValueError: The level is not between 0 and 1.
    """
    two = len(parts) == 1 and len(parts[0].gap) > 0
    value = parts[0].value - (parts[1].value if len(parts) > 1 else 0.0)
    centre = float(parts[0].gap.mean()) if two else value
    found = linear_interval(centre, [part.gap if two else part.influence for part in parts], level=level)
    if not found.measurable:
        return replace(found, value=value)
    bias = 0.0 if two else sum(part.bias for part in parts)
    error = (found.high - centre) / t_quantile((1 + level) / 2, found.freedom)
    if not two and any(part.too_close for part in parts):
        return Interval.none(value, found.samples, TOO_CLOSE)
    if error == 0:
        return replace(found, value=value, low=value, high=value)
    if two:
        low, high = of_magnitude(centre, error, found.freedom, level)
    elif len(parts) == 1:
        low, high = at_least_zero(value, error, bias, found.freedom, level)
    else:
        reach = error * critical_value(bias / error, found.freedom, level)
        low, high = value - reach, value + reach
    return replace(found, value=value, low=low, high=high)


def step_variances(shares: Floats) -> Floats:
    """Returns [K] the variance of each group's mean share over T steps, times T; NaN for a single step.

    For independent steps this is the variance of one step. All groups use the same number of low frequencies: the number that
    is usable for the average of their powers, or FEWEST_POWERS if none is.

    Args:
        shares: [T, K] in time order, without NaN.
    """
    n, K = shares.shape
    if n < 2:
        return np.full(K, np.nan)
    size = -(-n // MOST)
    bins = shares[: n // size * size].reshape(n // size, size, K).mean(1)
    spread = bins.var(0, ddof=1)
    varies = spread > 1e-24 * np.abs(bins).max(0, initial=0.0) ** 2
    if len(bins) < FEWEST_STEPS:  # too few to see whether they are independent; they are taken as such
        return np.where(varies, spread * size, 0.0)
    power = powers(np.ascontiguousarray(bins.T[varies]))  # [K', n - 5]
    found = np.zeros(K)
    if len(power):
        together = (power / np.maximum(power.mean(1, keepdims=True), 1e-300)).mean(0)
        count = usable(together) or FEWEST_POWERS
        found[varies] = power[:, :count].mean(1) * size
    return found
