"""Half the L1 distance between average shares and fractions, without what noise adds to it.

The distance of noisy averages d_k = delta_k + e_k z_k is biased upwards: of K groups that are served exactly, it reads
0.4 (e_1 + ... + e_K). So |d_k| is replaced by a smooth function of d_k / e_k with nearly the expectation |delta_k|; none can have
it exactly, since |x| has a corner (Cai and Low 2011). What is left is at most a fifth of a standard error e_k a group, either
way, and next to nothing from 3 standard errors on; intervals are wider by that much (as those of Armstrong and Kolesar 2018).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gradlens.estimation.intervals import LEVEL, MOST, Floats, Interval, linear_interval
from gradlens.estimation.low_frequencies import FEWEST_POWERS, powers, usable

# |z| less these bumps, (height, width): E of the result is within BIAS of |delta| for z ~ N(delta, 1), whatever delta is.
BUMPS = ((2.0, 0.5), (-0.42, 1.0))
BIAS = 0.21
# Standard deviation of the result, where |z| is below FAR; above, it is 1 and the bias is nil.
SPREAD, FAR = 1.3, 4.0
# Mean of |z| of a standard normal.
FOLDED = math.sqrt(2 / math.pi)


@dataclass(frozen=True)
class Distance:
    """An estimated distance.

    Attributes:
        value: The estimate, at least 0; NaN without a step.
        noise: The distance that noise alone would show, if it were not taken off; NaN where it is unknown (a single step).
        bias: Bound of what is left of the bias.
        influence: [T] how each step moves the estimate.
    """

    value: float
    noise: float
    bias: float
    influence: Floats


def distance(shares: Floats, fractions: Floats) -> Distance:
    """Estimates half the L1 distance between the expected shares and the fractions.

    Args:
        shares: [T, K] shares in time order, without NaN.
        fractions: [K].
    """
    n = len(shares)
    if n == 0:
        return Distance(math.nan, math.nan, math.nan, np.empty(0))
    gaps = shares.mean(0) - fractions
    errors = np.sqrt(step_variances(shares) / n)
    known = np.isfinite(errors)
    errors = np.where(known, errors, 0.0)
    near = np.abs(gaps) < FAR * errors
    weights = np.sign(gaps) * np.where(near, SPREAD, 1.0)
    return Distance(
        max(float(corrected(gaps, errors)), 0.0),
        0.5 * FOLDED * float(errors.sum()) if known.all() else math.nan,
        0.5 * BIAS * float(errors[near].sum()),
        0.5 * (shares - fractions) @ weights,
    )


def corrected(gaps: ArrayLike, errors: ArrayLike) -> Floats:
    """Returns [...] half the sum over the last axis of |expected gap|, from noisy gaps [..., K] and their standard errors."""
    d, e = np.asarray(gaps, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        squared = np.where(e > 0, (d / e) ** 2, np.inf)
    taken = sum(height * np.exp(-squared / (2 * width**2)) for height, width in BUMPS)
    return np.asarray(0.5 * (np.abs(d) - e * taken).sum(-1))


def distance_interval(parts: list[Distance], *, level: float = LEVEL) -> Interval:
    """Returns the interval of one distance, or of the first less the second of two independent runs."""
    value = parts[0].value - (parts[1].value if len(parts) > 1 else 0.0)
    found = linear_interval(value, [part.influence for part in parts], level=level)
    if not found.measurable:
        return found
    bias = sum(part.bias for part in parts)
    return Interval(value, found.low - bias, found.high + bias, found.samples, found.freedom)


def step_variances(shares: Floats) -> Floats:
    """Returns [K] the variance that each group's mean share over T steps has, times T; NaN for a single step.

    For independent steps it is the variance of one of them. All groups are judged at the same low frequencies: as many as their
    powers together allow, or the fewest where they allow none.
    """
    n, K = shares.shape
    if n < 2:
        return np.full(K, np.nan)
    size = -(-n // MOST)
    bins = shares[: n // size * size].reshape(n // size, size, K).mean(1)
    spread = bins.var(0, ddof=1)
    varies = spread > 1e-24 * np.abs(bins).max(0, initial=0.0) ** 2
    if len(bins) < 2 * FEWEST_POWERS:  # as if steps were independent: there is nothing to tell more from
        return np.where(varies, spread * size, 0.0)
    power = powers(np.ascontiguousarray(bins.T[varies]))  # [K', n - 3]
    found = np.zeros(K)
    if len(power):
        together = (power / np.maximum(power.mean(1, keepdims=True), 1e-300)).mean(0)
        count = usable(together) or FEWEST_POWERS
        found[varies] = power[:, :count].mean(1) * size
    return found
