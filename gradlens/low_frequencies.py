"""How precisely the mean of an autocorrelated series is known, from its power at low frequencies.

The variance of a mean over T steps is the power of the series at frequency 0, divided by T. The powers of the lowest cosines
estimate it (equal-weighted cosine estimator: Mueller 2007; Lazarus, Lewis, Stock and Watson 2018): of nu of them, the mean over
its standard error is Student's t with nu degrees of freedom. The two lowest are left out: they hold the trend of a training,
which is no noise. How many may be averaged follows from the series: so many that an AR(1) process as slow as the one that fits
the powers (Whittle 1953) still has about the same power in all of them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gradlens.student import f_probability

Floats = NDArray[np.float64]

# The lowest cosines, which hold the trend.
TREND = 2
# Fewest powers from which a variance is made.
FEWEST_POWERS = 4
# Part of the AR(1) bandwidth n (1 - phi) / (pi sqrt(phi)) that is used, and standard errors that are added to phi.
BANDWIDTH, CAUTION = 0.55, 1.0
# Power that falls from the lowest quarter to the rest with this confidence halves the number of powers.
FALLING = 0.9
_PHI = np.linspace(-0.5, 0.99, 150)


def powers(series: Floats) -> Floats:
    """Returns [..., n - 3] the squared coefficients of [..., n] on the orthonormal cosines of the DCT-II, from the fourth on.

    Of white noise each has the variance of a step as its expectation.
    """
    n = series.shape[-1]
    centred = series - series.mean(-1, keepdims=True)
    # The cosine transform as a Fourier transform of the same length (Makhoul 1980).
    folded = np.concatenate([centred[..., ::2], centred[..., 1::2][..., ::-1]], axis=-1)
    turned = np.fft.fft(folded) * np.exp(-0.5j * math.pi / n * np.arange(n))
    return np.asarray((turned.real**2 * (2 / n))[..., TREND + 1 :])


def usable(power: Floats) -> int:
    """Returns how many of the lowest powers [n - 3] are alike enough to be averaged; 0 = none can be trusted."""
    n = len(power) + TREND + 1
    phi = _slowness(power, n)
    phi = min(0.99, phi + (1 + 3 * phi) / n + CAUTION * math.sqrt(max(1 - phi * phi, 0.02) / n))
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


def _slowness(power: Floats, n: int) -> float:
    """Returns the coefficient of the AR(1) process whose spectrum fits the powers best (Whittle's likelihood)."""
    angles = math.pi / n * np.arange(1, n)
    trend, rest = angles[:TREND], angles[TREND:]
    # Both means over 1 / f = 1 - 2 phi cos(w) + phi^2: that of the powers is linear in cos(w), that of the logarithm
    # follows from the product over all n - 1 frequencies, (1 - phi^2n) / (1 - phi^2).
    scaled = (1 + _PHI**2) * power.mean() - 2 * _PHI * (power * np.cos(rest)).mean()
    logarithms = np.log((1 - _PHI ** (2 * n)) / (1 - _PHI**2))
    logarithms -= np.log(1 - 2 * _PHI[:, None] * np.cos(trend) + _PHI[:, None] ** 2).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(_PHI[np.argmin(np.log(scaled) - logarithms / len(power))])
