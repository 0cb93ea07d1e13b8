"""Averages over equal stretches of training, for pictures made of cells and bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlens.estimation.smoothing import running_mean
from gradlens.metrics.gram import Floats
from gradlens.runlog.format.events import Phase


def edges_of(steps: NDArray[Any], bins: int, phases: Sequence[Phase]) -> NDArray[np.intp]:
    """Returns the first rows of about ``bins`` stretches of almost equal length, and the end: [n + 1].

    No stretch holds steps of two phases: where one begins, so does a stretch.

    Args:
        steps: [T] of the rows, ascending.
        bins: At most so many, and one more for every phase.
        phases: Of the run.
    """
    rows = len(steps)
    edges = np.linspace(0, rows, min(bins, rows) + 1).round().astype(np.intp)
    starts = np.searchsorted(steps, [phase.start for phase in phases])
    return np.union1d(edges, starts[starts < rows]) if rows else edges


def binned(values: Floats, edges: NDArray[np.intp]) -> Floats:
    """Returns [n, ...] the means of [T, ...] between the edges; NaN are left out, and a stretch of NaN alone is NaN."""
    if len(edges) < 2:
        return np.empty((0, *values.shape[1:]))
    present = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        sums = np.add.reduceat(np.where(present, values, 0.0), edges[:-1], axis=0)
        return np.asarray(sums / np.add.reduceat(present.astype(np.float64), edges[:-1], axis=0))


def phase_rows(steps: NDArray[Any], phases: Sequence[Phase]) -> list[int]:
    """Returns the rows with which phases begin, but for the first phase."""
    return [int(row) for row in np.searchsorted(steps, [phase.start for phase in phases[1:]])]


def running(values: Floats, window: int, starts: Sequence[int]) -> Floats:
    """Returns [T] running means that end and begin where phases do; NaN where a whole window is absent.

    Args:
        values: [T].
        window: Values in a mean; 1 = the values themselves.
        starts: Rows with which phases begin.
    """
    if window == 1:
        return values
    inner = [row for row in starts if 0 < row < len(values)]
    return np.concatenate([running_mean(part, window) for part in np.split(values, inner)])


def edge_positions(positions: Floats, edges: NDArray[np.intp]) -> Floats:
    """Returns [n + 1] where the stretches begin and end on an axis with the rows at ``positions`` [T]."""
    x = np.asarray(positions, dtype=np.float64)
    if len(x) == 1:
        return np.array([x[0] - 0.5, x[0] + 0.5])
    last = x[-1] + (x[-1] - x[0]) / (len(x) - 1)
    return np.append(x, last)[edges]
