"""distortion: how far the steering of the gradient is from the classes' numbers, one number for a run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gradlens import gram
from gradlens.gram import Floats
from gradlens.intervals import Interval, interval

if TYPE_CHECKING:
    from gradlens.runlog import Run


def distortion(run: Run, start: int | None = None, stop: int | None = None) -> float:
    """Returns half the L1 distance between the groups' average shares of the update and their fractions of the classes.

    Shares are averaged over the measured steps first (an absent group has share 0 in a step), so that the chance of single
    batches does not count as distortion: 0 = over this stretch every group steered the update as its classes would.

    Args:
        run: The run.
        start: First optimizer step that counts; None = from the beginning.
        stop: The step before which it ends; None = to the end.

    Returns:
        The distortion; NaN without a measured step.
    """
    shares = _shares(run, start, stop)
    return float(gram.distortion(shares.mean(0), run.groups.fractions())) if len(shares) else float("nan")


def distortion_interval(run: Run, start: int | None = None, stop: int | None = None) -> Interval:
    """Returns ``distortion`` with its block-bootstrap interval, which ends at 0 as distortion does; arguments as there."""
    fractions = run.groups.fractions()
    found = interval([_shares(run, start, stop)], lambda means: gram.distortion(means[0], fractions))
    return found.within(0.0, math.inf)


def distortion_difference(
    a: Run,
    b: Run,
    a_span: tuple[int | None, int | None] = (None, None),
    b_span: tuple[int | None, int | None] = (None, None),
) -> Interval:
    """Returns distortion(a) - distortion(b) with its block-bootstrap interval, each resampled by itself.

    Args:
        a: First run.
        b: Second run.
        a_span: First step that counts in ``a``, and the step before which it ends.
        b_span: The same for ``b``.
    """
    fractions = [run.groups.fractions() for run in (a, b)]
    return interval(
        [_shares(a, *a_span), _shares(b, *b_span)],
        lambda means: gram.distortion(means[0], fractions[0]) - gram.distortion(means[1], fractions[1]),
    )


def _shares(run: Run, start: int | None, stop: int | None) -> Floats:
    """[T', K] the shares of the measured steps of a stretch, 0 where a group is absent."""
    steps = np.asarray(run.steps)
    used = (steps >= (-np.inf if start is None else start)) & (steps < (np.inf if stop is None else stop))
    shares = np.stack([run.share(name) for name in run.groups.names], axis=-1)[used]
    measured = ~np.isnan(shares).all(-1)
    return np.asarray(np.where(np.isnan(shares), 0.0, shares)[measured])
