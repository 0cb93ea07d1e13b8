"""The local level of a noisy series and the fluctuation around it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def running_mean(values: ArrayLike, window: int) -> Floats:
    """Returns [T] means over ``window`` neighbours centred on each value; NaN only where the whole window is absent.

    The window is cut at both ends of the series; an even one reaches one further back than ahead. Infinite values count as
    absent.

    Raises:
        ValueError: A window below 1.
    """
    sums, counts = _windows(values, window)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(counts > 0, sums / counts, np.nan))


def fluctuations(values: ArrayLike, window: int) -> Floats:
    """Returns [T] deviations from the running mean, enlarged by sqrt(m / (m - 1)) for m values in the window.

    So the mean of their squares is the variance of independent values around a slowly changing level; NaN where a value is
    absent or alone in its window.

    Raises:
        ValueError: A window below 1.
    """
    sums, counts = _windows(values, window)
    with np.errstate(invalid="ignore", divide="ignore"):
        deviations = np.asarray(values, dtype=np.float64) - sums / counts
        return np.asarray(np.where(counts > 1, deviations * np.sqrt(counts / (counts - 1)), np.nan))


def _windows(values: ArrayLike, window: int) -> tuple[Floats, Floats]:
    """Returns [T] sums and numbers of the finite values in each centred window."""
    if window < 1:
        raise ValueError(f"window={window}; average over at least 1 value")
    x = np.asarray(values, dtype=np.float64)
    present = np.isfinite(x)
    level = x[present].mean() if present.any() else 0.0  # running sums of centred values do not cancel
    first = np.maximum(np.arange(len(x)) - window // 2, 0)
    stop = np.minimum(np.arange(len(x)) + (window - 1) // 2 + 1, len(x))
    total = np.concatenate([[0.0], np.cumsum(np.where(present, x - level, 0.0))])
    number = np.concatenate([[0], np.cumsum(present)])
    counts = (number[stop] - number[first]).astype(np.float64)
    return total[stop] - total[first] + counts * level, counts
