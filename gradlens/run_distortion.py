"""distortion: how far the steering of the gradient is from the classes' numbers, one number for a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gradlens import gram

if TYPE_CHECKING:
    from gradlens.runlog import Run


def distortion(run: Run, start: int | None = None, stop: int | None = None) -> float:
    """Returns half the L1 distance between the groups' average shares of the update and their fractions of the classes.

    Shares are averaged over the measured steps first (an absent group has share 0 in a step), so that the chance of single
    batches does not count as distortion: 0 = over this stretch every group steered the update as its classes would, 1 = as
    far from that as can be while all shares are positive.

    Args:
        run: The run.
        start: First optimizer step that counts; None = from the beginning.
        stop: The step before which it ends; None = to the end.

    Returns:
        The distortion; NaN without a measured step.
    """
    names = run.groups.names
    steps = np.asarray(run.steps)
    used = (steps >= (start if start is not None else -np.inf)) & (steps < (stop if stop is not None else np.inf))
    shares = np.stack([run.share(name) for name in names], axis=-1)[used]
    measured = ~np.isnan(shares).all(-1)
    if not measured.any():
        return float("nan")
    mean = np.where(np.isnan(shares), 0.0, shares)[measured].mean(0)
    return float(gram.distortion(mean, run.groups.fractions()))
