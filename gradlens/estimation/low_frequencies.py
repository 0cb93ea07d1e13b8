"""How precisely the mean of an autocorrelated series is known, from its power at low frequencies.

The variance of a mean over T steps is the power of the series at frequency 0, divided by T. The powers of the lowest cosines
estimate it (equal-weighted cosine estimator: Mueller 2007; Lazarus, Lewis, Stock and Watson 2018): of nu of them, the mean over
its standard error is Student's t with nu degrees of freedom. The lowest is left out: it holds the trend of a training, which is
no noise. How many may be averaged follows from the series: so many that an AR(1) process somewhat slower than the one that fits
the powers (Whittle 1953) still has about the same power in all of them.

That process is fitted to the powers above the fewest that are averaged. Powers at different frequencies are independent of each
other (asymptotically), so series that are let through are not those whose lowest powers happen to be small: where few series get
an interval, those intervals hold what they say as well.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gradlens.estimation.student import f_probability

Floats = NDArray[np.float64]

# The lowest cosines, which hold the trend.
TREND = 1
# Fewest powers from which a variance is made; slowness is judged without them.
FEWEST_POWERS = 4
# Part of the AR(1) bandwidth n (1 - phi) / (pi sqrt(phi)) that is used, and standard errors that are added to phi.
BANDWIDTH, CAUTION = 0.45, 2.0
# Power that falls from the lowest quarter to the rest with this confidence halves the number of powers.
FALLING = 0.8
_PHI = np.linspace(-0.5, 0.99, 150)


def powers(series: Floats) -> Floats:
    """Returns [..., n - 2] the squared coefficients of [..., n] on the orthonormal cosines of the DCT-II, from the third on.

    Of white noise each has the variance of a step as its expectation.
    """
    n = series.shape[-1]
    centred = series - series.mean(-1, keepdims=True)
    # The cosine transform as a Fourier transform of the same length (Makhoul 1980).
    folded = np.concatenate([centred[..., ::2], centred[..., 1::2][..., ::-1]], axis=-1)
    turned = np.fft.fft(folded) * np.exp(-0.5j * math.pi / n * np.arange(n))
    return np.asarray((turned.real**2 * (2 / n))[..., TREND + 1 :])


def usable(power: Floats, slowness: float = 0.0) -> int:
    """Returns how many of the lowest powers are alike enough to be averaged; 0 = none can be trusted.

    Args:
        power: [n - 2] the powers of a series of n steps.
        slowness: The least coefficient of the AR(1) process that stands for the series, where more is known than its powers say.
    """
    n = len(power) + TREND + 1
    phi = at_most(max(ar1_coefficient(power, FEWEST_POWERS), slowness), n, CAUTION)
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
    """Returns an estimated AR(1) coefficient without its bias (Kendall 1954), so many standard errors higher."""
    return min(0.99, phi + (1 + 3 * phi) / steps + errors * math.sqrt(max(1 - phi * phi, 0.02) / steps))


def ar1_coefficient(power: Floats, left_out: int = 0) -> float:
    """Returns the coefficient of the AR(1) process whose spectrum fits powers best (Whittle's likelihood).

    Args:
        power: [n - 2] the powers of a series of n steps.
        left_out: So many of the lowest are not looked at.
    """
    n, lowest = len(power) + TREND + 1, TREND + left_out
    angles, fitted = math.pi / n * np.arange(1, n), power[left_out:]
    # Both means over 1 / f = 1 - 2 phi cos(w) + phi^2: that of the powers is linear in cos(w), that of the logarithm
    # follows from the product over all n - 1 frequencies, (1 - phi^2n) / (1 - phi^2).
    scaled = (1 + _PHI**2) * fitted.mean() - 2 * _PHI * (fitted * np.cos(angles[lowest:])).mean()
    logarithms = np.log((1 - _PHI ** (2 * n)) / (1 - _PHI**2))
    logarithms -= np.log(1 - 2 * _PHI[:, None] * np.cos(angles[:lowest]) + _PHI[:, None] ** 2).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(_PHI[np.argmin(np.log(scaled) - logarithms / len(fitted))])
