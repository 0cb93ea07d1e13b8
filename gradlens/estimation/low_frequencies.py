"""Says how precise the mean of an autocorrelated series is, from the power of the series at low frequencies.

The variance of a mean over T steps is the power of the series at frequency 0, divided by T. The mean of the powers of the
lowest nu cosines estimates that power (equal-weighted cosine estimator: Mueller 2007; Lazarus, Lewis, Stock and Watson 2018).
The error of the series' mean, divided by its standard error, then follows Student's t with nu degrees of freedom.

The course of the training is no noise. So a parabola of the step and a polynomial of its logarithm are fitted to the series and
taken off (trends in a regression with such an estimator: Sun 2011; logarithms: Phillips 2007). A training changes fastest at its
start: the norm of a gradient may fall to a twentieth within 15 steps, and rise again. A parabola does not follow that, nor does
a polynomial of the logarithm below the fifth degree. The four lowest cosines, which are mostly trend, are left out. Each other
power is divided by the part of it that the fit leaves of white noise.

The series decides how many powers are averaged. An AR(1) process is fitted to the powers (Whittle 1953). A process that is
somewhat slower than this one must have about the same power at all averaged frequencies.

The fit leaves out the FEWEST_POWERS lowest powers, which are always averaged. Powers at different frequencies are
(asymptotically) independent. So a series is not accepted because its lowest powers are small by chance. The intervals keep
their level even where few series get one.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gradlens.estimation.student import f_probability

Floats = NDArray[np.float64]

# Degree of the polynomial of the logarithm of the step. A lower one leaves so much of the start of a recorded training (the norms
# of Figure 1's runs) that intervals cover in 98 to 100 % of cases.
LOGARITHMS = 5
# How many of the lowest cosines are left out, because the fitted trend is most of them.
TREND = 4
# A variance needs at least this many powers. The fit of the AR(1) process leaves these lowest ones out.
FEWEST_POWERS = 4
# The part of the AR(1) bandwidth n (1 - phi) / (pi sqrt(phi)) that is used, and how many standard errors are added to phi.
BANDWIDTH, CAUTION = 0.45, 2.0
# Series with fewer steps than this get more caution: few of them are fast enough by chance, and those would cover too rarely.
SHORT, SHORT_CAUTION = 100, 2.5
# If the power falls from the lowest quarter to the rest with this confidence, only half as many powers are averaged.
FALLING = 0.8
_PHI = np.linspace(-0.5, 0.99, 150)


def powers(series: Floats) -> Floats:
    """Returns the powers [..., n - 5] of series [..., n] around their trend: squared DCT-II coefficients, from the sixth one on.

    The cosines are orthonormal. For white noise the expectation of each power is the variance of a step.
    """
    trend, left = _trend(series.shape[-1])
    found: Floats = _cosines(series - (series @ trend) @ trend.T)[..., TREND + 1 :] ** 2 / left
    return found


@lru_cache(maxsize=16)
def _trend(n: int) -> tuple[Floats, Floats]:
    """Returns orthonormal trends [n, 8], and what is left [n - 5] of each power of white noise when these are taken off."""
    time = np.arange(n) + 0.5
    logarithm = np.log(time) / math.log(n)
    terms = [time / n, (time / n) ** 2, *(logarithm**degree for degree in range(1, LOGARITHMS + 1))]
    trend = np.linalg.qr(np.stack([np.ones(n), *terms], axis=1))[0]
    return trend, 1 - (_cosines(trend.T)[:, TREND + 1 :] ** 2).sum(0)


def _cosines(series: Floats) -> Floats:
    """Returns the orthonormal DCT-II coefficients [..., n] of series [..., n]."""
    n = series.shape[-1]
    # A Fourier transform of the same length gives the cosine transform (Makhoul 1980).
    folded = np.concatenate([series[..., ::2], series[..., 1::2][..., ::-1]], axis=-1)
    turned = np.fft.fft(folded) * np.exp(-0.5j * math.pi / n * np.arange(n))
    found: Floats = turned.real * math.sqrt(2 / n)
    found[..., 0] /= math.sqrt(2)
    return found


def usable(power: Floats, slowness: float = 0.0) -> int:
    """Returns how many of the lowest powers are similar enough to be averaged; 0: the series is too slow for its length.

    Args:
        power: [n - 5] powers of a series of n steps.
        slowness: A lower bound of the AR(1) coefficient of the series, if one is known from elsewhere.
    """
    n = len(power) + TREND + 1
    phi = at_most(max(ar1_coefficient(power, FEWEST_POWERS), slowness), n, CAUTION if n >= SHORT else SHORT_CAUTION)
    if phi > 0.02:
        most = min(len(power), int(BANDWIDTH * n * (1 - phi) / (math.pi * math.sqrt(phi))) - TREND)
    else:
        most = len(power)
    while most >= 2 * FEWEST_POWERS:
        low = max(FEWEST_POWERS, most // 4)
        lowest, rest = float(power[:low].mean()), float(power[low:most].mean())
        if rest > 0 and f_probability(lowest / rest, low, most - low) <= FALLING:
            break
        most //= 2
    return most if most >= FEWEST_POWERS else 0


def at_most(phi: float, steps: int, errors: float) -> float:
    """Returns an upper bound of an AR(1) coefficient, at most 0.99.

    Args:
        phi: The estimate. Its bias is taken off (Kendall 1954).
        steps: Number of steps of the series.
        errors: How many standard errors are added.
    """
    return min(0.99, phi + (1 + 3 * phi) / steps + errors * math.sqrt(max(1 - phi * phi, 0.02) / steps))


def ar1_coefficient(power: Floats, left_out: int = 0) -> float:
    """Returns the coefficient of the AR(1) process whose spectrum fits the powers best (Whittle's likelihood).

    Args:
        power: [n - 5] powers of a series of n steps.
        left_out: How many of the lowest powers are ignored.
    """
    n, lowest = len(power) + TREND + 1, TREND + left_out
    angles, fitted = math.pi / n * np.arange(1, n), power[left_out:]
    # With 1 / f = 1 - 2 phi cos(w) + phi^2, two means are needed for every phi. The mean of power / f is linear in cos(w).
    # The mean of log(1 / f) follows from the product of 1 / f over all n - 1 frequencies, (1 - phi^2n) / (1 - phi^2).
    scaled = (1 + _PHI**2) * fitted.mean() - 2 * _PHI * (fitted * np.cos(angles[lowest:])).mean()
    logarithms = np.log((1 - _PHI ** (2 * n)) / (1 - _PHI**2))
    logarithms -= np.log(1 - 2 * _PHI[:, None] * np.cos(angles[:lowest]) + _PHI[:, None] ** 2).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(_PHI[np.argmin(np.log(scaled) - logarithms / len(fitted))])
