"""Running means of a noisy series, and the deviations of its values from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def running_mean(values: ArrayLike, window: int) -> Floats:
    """Returns [T] the mean over a window around each value; NaN if all values in the window are absent.

    NaN and infinite values count as absent. At both ends of the series the window is shorter. A window of even length reaches
    one value further back than ahead.

    Args:
        values: [T].
        window: Number of values in a window.

    Raises:
        ValueError: The window is below 1.
    """
    sums, counts = _windows(values, window)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(counts > 0, sums / counts, np.nan))


def fluctuations(values: ArrayLike, window: int) -> Floats:
    """Returns [T] the deviations from the running mean, times sqrt(m / (m - 1)) where the window has m values.

    With this factor, the mean of their squares is the variance of independent values around a slowly changing level. A
    deviation is NaN if its value is absent, or alone in its window.

    Args:
        values: [T].
        window: Number of values in a window.

    Raises:
        ValueError: The window is below 1.
    """
    sums, counts = _windows(values, window)
    with np.errstate(invalid="ignore", divide="ignore"):
        deviations = np.asarray(values, dtype=np.float64) - sums / counts
        return np.asarray(np.where(counts > 1, deviations * np.sqrt(counts / (counts - 1)), np.nan))


def _windows(values: ArrayLike, window: int) -> tuple[Floats, Floats]:
    """Returns the sum [T] and the number [T] of the finite values in the window around each value."""
    if window < 1:
        raise ValueError(f"window={window}; average over at least 1 value")
    x = np.asarray(values, dtype=np.float64)
    present = np.isfinite(x)
    level = x[present].mean() if present.any() else 0.0  # running sums of centred values lose fewer digits
    first = np.maximum(np.arange(len(x)) - window // 2, 0)
    stop = np.minimum(np.arange(len(x)) + (window - 1) // 2 + 1, len(x))
    total = np.concatenate([[0.0], np.cumsum(np.where(present, x - level, 0.0))])
    number = np.concatenate([[0], np.cumsum(present)])
    counts = (number[stop] - number[first]).astype(np.float64)
    return total[stop] - total[first] + counts * level, counts
