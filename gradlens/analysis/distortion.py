"""distortion: how far the steering of the gradient is from the classes' numbers, one number for a run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gradlens.estimation.intervals import Interval
from gradlens.estimation.noisy_distance import distance_interval
from gradlens.runlog.reading.share_distance import distance_of

if TYPE_CHECKING:
    from gradlens.runlog import Run


def distortion(run: Run, start: int | None = None, stop: int | None = None) -> float:
    """Returns half the L1 distance between the groups' expected shares of the update and their fractions of the classes.

    0 = over this stretch every group steered the update as its classes would. It is estimated from the measured steps (an absent
    group has share 0 in a step), without what the chance of batches adds to a distance: cadence and number of steps change how
    precisely it is known (``distortion_interval``), not what it tends to. See ``gradlens.estimation.noisy_distance``.

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
