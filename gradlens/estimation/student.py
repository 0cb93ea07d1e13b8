"""Student's t and Fisher's F distributions, from the regularised incomplete beta function. So intervals need no SciPy."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

# With more degrees of freedom than this, Student's t is the normal distribution to six digits.
MOST = 1e7


@lru_cache(maxsize=4096)
def t_quantile(probability: float, freedom: float) -> float:
    """Returns the quantile of Student's t: it lies below this value with the given probability.

    Args:
        probability: At least 0.5, and below 1.
        freedom: Degrees of freedom, above 0. It need not be a whole number.

    Raises:
        ValueError: The probability is outside [0.5, 1), or there is no degree of freedom.
    """
    if not 0.5 <= probability < 1 or not freedom > 0:
        raise ValueError(
            f"probability={probability}, freedom={freedom}; give a probability in [0.5, 1) and freedom above 0"
        )
    v = min(freedom, MOST)
    front = math.exp(math.lgamma((v + 1) / 2) - math.lgamma(v / 2)) / math.sqrt(v * math.pi)
    # Newton's method starts at the normal quantile, which is below the root. The probability is concave, so no step passes
    # the root.
    found = NormalDist().inv_cdf(probability)
    for _ in range(200):
        step = (probability - t_probability(found, v)) / (front * (1 + found * found / v) ** (-(v + 1) / 2))
        found += step
        if step <= 1e-13 * found:
            break
    return max(found, 0.0)


def t_probability(t: float, freedom: float) -> float:
    """Returns the probability that Student's t with the given degrees of freedom lies below ``t``."""
    outside = 0.5 * incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))
    return 1 - outside if t >= 0 else outside


def f_probability(ratio: float, numerator: float, denominator: float) -> float:
    """Returns the probability that Fisher's F with the given degrees of freedom lies below ``ratio``."""
    part = numerator * ratio
    return incomplete_beta(numerator / 2, denominator / 2, part / (part + denominator))


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Returns the regularised incomplete beta function I_x(a, b) by Lentz's continued fraction (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # here the fraction converges slowly, and that of the complement quickly
        return 1 - incomplete_beta(b, a, 1 - x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    ) / a  # fmt: skip
    tiny = 1e-300
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1), tiny)
    fraction = d
    for m in range(1, 100_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away(1 + term * d, tiny)
            c = _away(1 + term / c, tiny)
            fraction *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return front * fraction


def _away(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny
