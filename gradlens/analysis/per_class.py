"""Measurements of single classes: the whole-data probes of a run, or means of its training batches.

Training batches can only be used if each group of the run is a single class.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from gradlens.metrics.measurement import Measurement
from gradlens.runlog import Probe

if TYPE_CHECKING:
    from gradlens.runlog import Run

# A training is shown as at most this many stretches.
STRETCHES = 20
# At most this many Grams of a stretch are averaged: with 100 classes each takes 80 kB.
MOST_STEPS = 200
# The label of a stretch begins with this. It shows that it is not a probe of the whole data.
BATCHES = "training batches"
# With fewer groups than this there is no picture of single classes.
FEWEST_GROUPS = 3


def class_measurements(run: Run) -> list[Probe]:
    """Returns the measurements of single classes in a run, in the order of training.

    These are its probes. If it has none and each group is a single class, they are means over stretches of its measured
    training steps. In other cases the list is empty.
    """
    probes = [probe for probe in run.probes if len(probe.groups) >= FEWEST_GROUPS]
    if probes:
        return probes
    return [_stretch(run, a, b) for a, b in pairwise(_edges(len(run)))] if _steps_by_class(run) else []


def measured_by_class(run: Run) -> bool:
    """Says whether ``class_measurements`` has any for a run, without computing them."""
    return any(len(probe.groups) >= FEWEST_GROUPS for probe in run.probes) or _steps_by_class(run)


def _steps_by_class(run: Run) -> bool:
    single = len(run.groups) >= FEWEST_GROUPS and all(len(ids) == 1 for ids in run.groups.classes)
    return single and not run.components and len(run) > 0


def _edges(rows: int) -> list[int]:
    """Returns [n + 1] the first row of each stretch, and the end.

    The length of a stretch is a power of two. So while a run grows, its stretches stay the same until every two become one. Only
    the last one grows. It is never shorter than half of the others.
    """
    length = 1
    while length * STRETCHES < rows:
        length *= 2
    starts = list(range(0, rows, length))
    if len(starts) > 1 and rows - starts[-1] < length / 2:
        starts.pop()
    return [*starts, rows]


def _stretch(run: Run, start: int, stop: int) -> Probe:
    """Returns the mean of the measured steps in rows ``start`` to ``stop - 1``, in the form of a probe.

    The Gram matrix is a mean over the last 200 of these steps at most. Counts and losses are sums over all of them.
    """
    used = slice(max(start, stop - MOST_STEPS), stop)
    grams = run.gram(rows=used)  # [n, V, V]
    grams = grams[~np.isinf(grams).any((1, 2))]  # without steps whose gradient is not finite
    present = np.isfinite(grams)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(present, grams, 0.0).sum(0) / present.sum(0)
    counts = run.counts[start:stop].sum(0)
    steps = run.steps
    measurement = Measurement(
        step=int(steps[stop - 1]), time=float(run.time[stop - 1]), epoch=None, names=run.names, gram=mean, layers=None,
        counts=counts, loss=run.loss[start:stop].sum(0), correct=run.correct[start:stop].sum(0), residual=float("nan"),
        total_loss=float("nan"), seconds=float("nan"),
    )  # fmt: skip
    label = f"{BATCHES} of steps {int(steps[used.start]):,} to {measurement.step:,}"
    return Probe(measurement, run.groups, (), label, 0, run.path)
