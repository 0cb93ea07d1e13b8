"""Estimates, from a run's measured steps, the distance between the groups' shares of the update and of the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gradlens.estimation.intervals import Floats
from gradlens.estimation.noisy_distance import Distance
from gradlens.metrics.catalogue import QUANTITIES

if TYPE_CHECKING:
    from gradlens.runlog.reading.reader import Run


def distance_of(run: Run, start: int | None = None, stop: int | None = None, layer: str | None = None) -> Distance:
    """Returns the estimate that ``distortion`` is taken from, with the level that noise alone reaches.

    Args:
        run: The run.
        start: First step that is used, or None.
        stop: Step before which to stop, or None.
        layer: A layer's name, or None for the whole model.
    """
    steps = np.asarray(run.steps)
    used = (steps >= (-np.inf if start is None else start)) & (steps < (np.inf if stop is None else stop))
    found: Distance = QUANTITIES["distortion"].function(shares_of_steps(run, used, layer), run.groups.fractions())
    return found


def shares_of_steps(run: Run, used: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], layer: str | None) -> Floats:
    """Returns [T', K] the shares of the used steps that have any shares; 0 for an absent group."""
    layers = () if layer is None else (layer,)
    shares = np.stack([run.share(name, *layers)[: len(used)][used] for name in run.groups.names], axis=-1)
    absent = np.isnan(shares)
    return np.asarray(np.where(absent, 0.0, shares)[~absent.all(-1)])
