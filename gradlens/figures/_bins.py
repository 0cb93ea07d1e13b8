"""Averages over equal stretches of training, for pictures made of cells and bars."""

from __future__ import annotations

import numpy as np

from gradlens.gram import Floats


def edges_of(rows: int, bins: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Returns the first rows of at most ``bins`` stretches of almost equal length, and the end: [n + 1]."""
    return np.linspace(0, rows, min(bins, rows) + 1).round().astype(np.intp)


def binned(values: Floats, edges: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Floats:
    """Returns [n, ...] the means of [T, ...] between the edges; NaN are left out, and a stretch of NaN alone is NaN."""
    if len(edges) < 2:
        return np.empty((0, *values.shape[1:]))
    present = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        sums = np.add.reduceat(np.where(present, values, 0.0), edges[:-1], axis=0)
        return np.asarray(sums / np.add.reduceat(present.astype(np.float64), edges[:-1], axis=0))


def edge_positions(positions: Floats, edges: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Floats:
    """Returns [n + 1] where the stretches begin and end on an axis with the rows at ``positions`` [T]."""
    x = np.asarray(positions, dtype=np.float64)
    if len(x) == 1:
        return np.array([x[0] - 0.5, x[0] + 0.5])
    last = x[-1] + (x[-1] - x[0]) / (len(x) - 1)
    return np.append(x, last)[edges]
