"""distortion: how far the steering of the gradient is from the classes' numbers, one number for a run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gradlens.statistics.intervals import Floats, Interval
from gradlens.statistics.noisy_distance import Distance, distance, distance_interval

if TYPE_CHECKING:
    from gradlens.runlog import Run


def distortion(run: Run, start: int | None = None, stop: int | None = None) -> float:
    """Returns half the L1 distance between the groups' expected shares of the update and their fractions of the classes.

    0 = over this stretch every group steered the update as its classes would. It is estimated from the measured steps (an absent
    group has share 0 in a step), without what the chance of batches adds to a distance: cadence and number of steps change how
    precisely it is known (``distortion_interval``), not what it tends to. See ``gradlens.statistics.noisy_distance``.

    Args:
        run: The run.
        start: First optimizer step that counts; None = from the beginning.
        stop: The step before which it ends; None = to the end.

    Returns:
        The distortion; NaN without a measured step. Of a single step, whose noise is unknown, it is biased upwards.
    """
    return distance_of(run, start, stop).value


def distortion_interval(run: Run, start: int | None = None, stop: int | None = None) -> Interval:
    """Returns ``distortion`` with its interval, which ends at 0 as distortion does; arguments as there."""
    return distance_interval([distance_of(run, start, stop)]).within(0.0, math.inf)


def distortion_difference(
    a: Run,
    b: Run,
    a_span: tuple[int | None, int | None] = (None, None),
    b_span: tuple[int | None, int | None] = (None, None),
) -> Interval:
    """Returns distortion(a) - distortion(b) with its interval, as of two independent trainings.

    Args:
        a: First run.
        b: Second run.
        a_span: First step that counts in ``a``, and the step before which it ends.
        b_span: The same for ``b``.
    """
    return distance_interval([distance_of(a, *a_span), distance_of(b, *b_span)])


def distance_of(run: Run, start: int | None = None, stop: int | None = None, layer: str | None = None) -> Distance:
    """Returns the estimate behind ``distortion``, of the whole model or of a layer: with the level that noise alone reaches."""
    steps = np.asarray(run.steps)
    used = (steps >= (-np.inf if start is None else start)) & (steps < (np.inf if stop is None else stop))
    return distance(measured_shares(run, used, layer), run.groups.fractions())


def measured_shares(run: Run, used: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], layer: str | None) -> Floats:
    """Returns [T', K] the shares of those used steps that have any, 0 where a group is absent."""
    layers = () if layer is None else (layer,)
    shares = np.stack([run.share(name, *layers)[: len(used)][used] for name in run.groups.names], axis=-1)
    absent = np.isnan(shares)
    return np.asarray(np.where(absent, 0.0, shares)[~absent.all(-1)])
