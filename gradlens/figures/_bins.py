"""Means over bins of training: stretches of about equally many measured steps, for heat maps and bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlens.estimation.smoothing import running_mean
from gradlens.metrics.gram import Floats
from gradlens.runlog.format.events import Phase


def edges_of(steps: NDArray[Any], bins: int, phases: Sequence[Phase]) -> NDArray[np.intp]:
    """Returns [n + 1] the first row of each bin, and the end. The bins have almost the same length.

    No bin holds steps of two phases: a new phase starts a new bin.

    Args:
        steps: [T] steps of the rows, ascending.
        bins: At most this many, and one more for each phase.
        phases: The phases of the run.
    """
    rows = len(steps)
    edges = np.linspace(0, rows, min(bins, rows) + 1).round().astype(np.intp)
    starts = np.searchsorted(steps, [phase.start for phase in phases])
    return np.union1d(edges, starts[starts < rows]) if rows else edges


def binned(values: Floats, edges: NDArray[np.intp]) -> Floats:
    """Returns [n, ...] the means of [T, ...] values between [n + 1] edges.

    The means leave out values that are not finite. A bin without finite values is NaN.
    """
    if len(edges) < 2:
        return np.empty((0, *values.shape[1:]))
    present = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        sums = np.add.reduceat(np.where(present, values, 0.0), edges[:-1], axis=0)
        return np.asarray(sums / np.add.reduceat(present.astype(np.float64), edges[:-1], axis=0))


def phase_rows(steps: NDArray[Any], phases: Sequence[Phase]) -> list[int]:
    """Returns the first row of each phase but the first one."""
    return [int(row) for row in np.searchsorted(steps, [phase.start for phase in phases[1:]])]


def running(values: Floats, window: int, starts: Sequence[int]) -> Floats:
    """Returns [T] running means that never mix two phases; NaN where no value of the window is finite.

    Args:
        values: [T] values, NaN = absent.
        window: Values in each mean; 1 = no smoothing.
        starts: First rows of the phases.
    """
    if window == 1:
        return values
    inner = [row for row in starts if 0 < row < len(values)]
    return np.concatenate([running_mean(part, window) for part in np.split(values, inner)])


def edge_positions(positions: Floats, edges: NDArray[np.intp]) -> Floats:
    """Returns [n + 1] where bins begin and end on the horizontal axis.

    Args:
        positions: [T] positions of the rows.
        edges: [n + 1] edges of the bins, in rows.
    """
    x = np.asarray(positions, dtype=np.float64)
    if len(x) == 1:
        return np.array([x[0] - 0.5, x[0] + 0.5])
    last = x[-1] + (x[-1] - x[0]) / (len(x) - 1)
    return np.append(x, last)[edges]
