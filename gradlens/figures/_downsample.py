"""Chooses the points of a long series that are drawn: the smallest and the largest of each bucket, so no spike is lost."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Indices = NDArray[np.intp]


def min_max(values: ArrayLike, points: int) -> Indices:
    """Returns ascending indices of at most ``points`` values whose line looks like that of all values.

    The values are split into buckets of equal length. Each bucket keeps its smallest and its largest value. The first and
    the last value of the series are kept too. A bucket without a finite value keeps a NaN, so that a gap stays a gap. If
    there are at most ``points`` values, all are kept.

    Args:
        values: [T] values.
        points: The most indices to return.

    Raises:
        ValueError: Fewer than 4 points.
    """
    if points < 4:
        raise ValueError(f"points={points}; a line needs at least 4")
    y = np.asarray(values)
    n = len(y)
    if n <= points:
        return np.arange(n)
    buckets = (points - 2) // 2
    size = -(-(n - 2) // buckets)
    # The first and the last value are kept anyway. Values at the end that do not fill a bucket form a smaller one.
    whole = (n - 2) // size
    inner = y[1 : 1 + whole * size].reshape(whole, size)
    starts = 1 + size * np.arange(whole)
    kept = [np.array([0, n - 1]), *(starts + place for place in _extremes(inner))]
    rest = y[1 + whole * size : n - 1]
    if len(rest):
        kept += [1 + whole * size + place for place in _extremes(rest[None])]
    return np.unique(np.concatenate(kept))


def visible(x: ArrayLike, values: ArrayLike, points: int, window: tuple[float, float] | None = None) -> Indices:
    """Returns the indices of at most ``points`` values to draw if only ``window`` of the axis is seen.

    One value beyond each end of the window is kept, if there is one, so that the line runs out of the picture.

    Args:
        x: [T] ascending positions.
        values: [T] values.
        points: The most indices to return.
        window: Lowest and highest position seen, or None for all.

    Raises:
        ValueError: Fewer than 4 points.
    """
    if window is None:
        return min_max(values, points)
    first, stop = rows_seen(x, window)
    low = max(first - 1, 0)
    return min_max(np.asarray(values)[low : stop + 1], points) + low


def rows_seen(x: ArrayLike, window: tuple[float, float]) -> tuple[int, int]:
    """Returns (first, stop): the rows ``first`` to ``stop - 1`` lie in the window, its ends included.

    Args:
        x: [T] ascending positions.
        window: The two ends of the window.
    """
    positions, low, high = np.asarray(x), min(window), max(window)
    if np.issubdtype(positions.dtype, np.integer) and math.isfinite(low) and math.isfinite(high):
        low, high = math.ceil(low), math.floor(high)  # numpy would turn all positions into floats to compare them
    return int(np.searchsorted(positions, low, "left")), int(np.searchsorted(positions, high, "right"))


def _extremes(buckets: NDArray[np.generic]) -> tuple[Indices, Indices]:
    """Returns [B], [B] where the smallest and the largest value of each bucket lie; a NaN only if there is nothing else.

    Args:
        buckets: [B, S] values.
    """
    smallest, largest = buckets.argmin(1), buckets.argmax(1)
    # argmin and argmax return a NaN if there is one. Only such rows need the slower way.
    holes = np.isnan(np.take_along_axis(buckets, smallest[:, None], 1)[:, 0])
    if holes.any():
        gappy = buckets[holes]
        absent = np.isnan(gappy)
        smallest[holes] = np.where(absent, np.inf, gappy).argmin(1)
        largest[holes] = np.where(absent, -np.inf, gappy).argmax(1)
    return smallest, largest
