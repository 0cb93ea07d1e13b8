"""Ends of intervals for quantities that cannot be below 0, and for estimates whose bias is known only within a bound.

Intervals that are made wider by the bound at both ends, and then cut at 0, cover the truth too often. Here each end is as far
out as it must be. Every construction gives for each true value the estimates that it accepts with the level's probability; the
interval holds the true values that accept the estimate (Neyman 1937).
"""

from __future__ import annotations

from collections.abc import Callable

from gradlens.estimation.student import t_probability, t_quantile

Ends = tuple[float, float]


def critical_value(bias: float, freedom: float, level: float) -> float:
    """Returns the number k with P(|t + bias| <= k) = level, where t follows Student's t.

    An estimate with a bias of at most ``bias`` standard errors lies within k standard errors of the truth at least as often as
    ``level`` says (Armstrong and Kolesar 2018). For a large bias the error can only be on one side. Then k is ``bias`` plus the
    one-sided quantile, as for the interval of Imbens and Manski (2004).

    Args:
        bias: Bound of the bias in standard errors, at least 0.
        freedom: Degrees of freedom of Student's t.
        level: The probability.
    """
    most = bias + t_quantile((1 + level) / 2, freedom)
    return _root(lambda k: within(k, bias, freedom) - level, 0.0, most)


def within(reach: float, shift: float, freedom: float) -> float:
    """Returns P(|t + shift| <= reach), where t follows Student's t."""
    return t_probability(reach - shift, freedom) - t_probability(-reach - shift, freedom)


def at_least_zero(value: float, error: float, bias: float, freedom: float, level: float) -> Ends:
    """Returns the ends of the interval of a quantity that cannot be below 0.

    A true value below the reach cannot be missed by the upper end, since the estimate is not below 0. So it may be missed by the
    lower end as often as the level allows: the lower end is one-sided there (Mandelkern and Schultz 2000). Other true values are
    missed on both sides.

    Args:
        value: The estimate, at least 0.
        error: Its standard error, above 0.
        bias: Bound of its bias.
        freedom: Degrees of freedom of the standard error.
        level: Probability that the interval covers the truth.
    """
    reach = error * critical_value(bias / error, freedom, level)
    one_sided = value - bias - error * t_quantile(max(level, 0.5), freedom)
    return max(value - reach, min(one_sided, reach), 0.0), value + reach


def of_magnitude(value: float, error: float, freedom: float, level: float) -> Ends:
    """Returns the ends of the interval of |x|, for a number x that may have either sign.

    It holds 0 exactly if the two-sided interval of x does. The upper end is |value| plus the reach of that interval. It lies
    below the truth less often than for x itself, since an estimate of the other sign counts, too. The lower end lies above the
    truth as much more often.

    Args:
        value: The estimate of x.
        error: Its standard error, above 0.
        freedom: Degrees of freedom of the standard error.
        level: Probability that the interval covers the truth.
    """
    size, reach = abs(value) / error, t_quantile((1 + level) / 2, freedom)
    if size <= reach:
        return 0.0, error * (size + reach)

    def covered_beyond(truth: float) -> float:
        """Returns the level less the probability that the truth is covered if the lower end of this estimate is the truth."""
        return level - within(size, truth, freedom) + within(max(truth - reach, 0.0), truth, freedom)

    return error * _root(covered_beyond, size - reach, size), error * (size + reach)


def _root(rising: Callable[[float], float], low: float, high: float) -> float:
    """Returns where a rising function is 0 between two numbers, or the nearer end if it is not (the Illinois method)."""
    below, above, side = rising(low), rising(high), 0
    if below >= 0:
        return low
    if above <= 0:
        return high
    for _ in range(100):
        middle = (low * above - high * below) / (above - below)
        found = rising(middle)
        if abs(found) < 1e-10 or high - low < 1e-9 * high:
            return middle
        # An end that stays twice counts half, so that both ends move.
        if found < 0:
            low, below, above, side = middle, found, above / 2 if side < 0 else above, -1
        else:
            high, above, below, side = middle, found, below / 2 if side > 0 else below, 1
    return middle
