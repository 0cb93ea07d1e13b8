"""Class against class: the whole-data probes of a run, and what its training batches say where every class is a group."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from gradlens.metrics.measurement import Measurement
from gradlens.runlog import Probe

if TYPE_CHECKING:
    from gradlens.runlog import Run

# Of so many stretches at most is a training shown.
STRETCHES = 20
# Measured steps of a stretch whose Grams are averaged: with 100 classes each takes 80 kB.
MOST_STEPS = 200
# How the label of a stretch begins, which no probe of whole data is.
BATCHES = "training batches"
# Fewer groups than this are no class by class picture.
FEWEST_GROUPS = 3


def class_measurements(run: Run) -> list[Probe]:
    """Returns what a run says about single classes, in order of training: its probes, else the means of stretches.

    Stretches are made of the training batches of runs in which every group is one class. Without either, an empty list.
    """
    probes = [probe for probe in run.probes if len(probe.groups) >= FEWEST_GROUPS]
    if probes:
        return probes
    single = len(run.groups) >= FEWEST_GROUPS and all(len(ids) == 1 for ids in run.groups.classes)
    if not single or run.components or not len(run):
        return []
    return [_stretch(run, a, b) for a, b in pairwise(_edges(len(run)))]


def _edges(rows: int) -> list[int]:
    """Returns where stretches begin, and the end of the last one.

    Their length is a power of two, so while a run grows, stretches stay as they are until two and two become one; only the last
    one changes. It is never shorter than half the others.
    """
    length = 1
    while length * STRETCHES < rows:
        length *= 2
    starts = list(range(0, rows, length))
    if len(starts) > 1 and rows - starts[-1] < length / 2:
        starts.pop()
    return [*starts, rows]


def _stretch(run: Run, start: int, stop: int) -> Probe:
    """Returns the mean of a stretch of training steps as if it were a probe."""
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
