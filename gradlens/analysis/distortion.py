"""Distortion: one number that says how far the groups' shares of the update are from their fractions of the classes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gradlens.estimation.interval import Interval
from gradlens.estimation.noisy_distance import distance_interval
from gradlens.runlog.reading.share_distance import distance_of

if TYPE_CHECKING:
    from gradlens.runlog import Run


def distortion(run: Run, start: int | None = None, stop: int | None = None) -> float:
    """Returns half the L1 distance between the groups' expected shares of the update and their fractions of the classes.

    0 means that each group's share of the update is its fraction of the classes. The number is estimated from the measured
    steps. A group without samples in a step has share 0 there. The noise of batches adds to every distance; this part is
    subtracted. So the cadence and the number of steps change how precise the estimate is (``distortion_interval``), but not
    the value that it tends to. See ``gradlens.estimation.noisy_distance``.

    Args:
        run: The run.
        start: First optimizer step that counts; None = the first one.
        stop: The optimizer step after the last one that counts; None = up to the end.

    Returns:
        The distortion; NaN without a measured step. With a single measured step it is too large on average, since the noise
        is unknown.

    Example:
        >>> from gradlens import Run, distortion
        >>> run = Run("runs/digits")  # two groups of 5 classes each, so 0.5 is a tail that does not steer at all
        >>> 0.2 < distortion(run, stop=32) <= 0.5  # in the first two epochs
        True
    """
    return distance_of(run, start, stop).value


def distortion_interval(run: Run, start: int | None = None, stop: int | None = None) -> Interval:
    """Returns ``distortion`` with its interval, which has no negative values.

    Args:
        run: The run.
        start: First optimizer step that counts; None = the first one.
        stop: The optimizer step after the last one that counts; None = up to the end.
    """
    return distance_interval([distance_of(run, start, stop)]).within(0.0, math.inf)


def distortion_difference(
    a: Run,
    b: Run,
    a_span: tuple[int | None, int | None] = (None, None),
    b_span: tuple[int | None, int | None] = (None, None),
) -> Interval:
    """Returns distortion(a) - distortion(b) with its interval. The two are taken for independent trainings.

    Args:
        a: First run.
        b: Second run.
        a_span: (start, stop) in ``a``, as in ``distortion``.
        b_span: The same for ``b``.
    """
    return distance_interval([distance_of(a, *a_span), distance_of(b, *b_span)])
