"""Portions of a training that are judged apart, the groups at both ends of the class frequencies, and careful intervals."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from gradlens.diagnosis.finding import LEVEL
from gradlens.estimation.interval import Interval
from gradlens.estimation.intervals import mean_interval
from gradlens.metrics.gram import Floats

if TYPE_CHECKING:
    from gradlens.runlog import Run

# With fewer measured steps than this, a quarter of them often has no interval.
MANY = 1000
# With more groups than this, a series of each takes long: each is computed from all inner products.
MOST_GROUPS = 12


@dataclass(frozen=True)
class Portion:
    """Measured steps that belong together.

    Attributes:
        name: The phase's name; "" for a whole training.
        rows: Its rows.
    """

    name: str
    rows: slice


def portions(run: Run) -> list[Portion]:
    """Returns the phases of a run that have measured steps, or the whole run if it has fewer than two."""
    steps = run.steps
    found = []
    for phase in run.phases:
        start = int(np.searchsorted(steps, phase.start))
        stop = len(steps) if phase.end is None else int(np.searchsorted(steps, phase.end))
        if stop > start:
            found.append(Portion(phase.name, slice(start, stop)))
    return found if len(found) > 1 else [Portion("", slice(0, len(steps)))]


def quarters(rows: slice) -> list[slice]:
    """Returns four parts of some rows, in time order."""
    edges = np.linspace(rows.start, rows.stop, 5).astype(int)
    return [slice(int(a), int(b)) for a, b in pairwise(edges)]


def late(rows: slice) -> slice:
    """Returns the last quarter of some rows; the last half if there are few, so that it has an interval."""
    parts = quarters(rows)
    return parts[-1] if rows.stop - rows.start >= MANY else slice(parts[2].start, rows.stop)


def careful(series: Floats, *, among: int = 1) -> Interval:
    """Returns the mean of a series with its interval.

    Args:
        series: [T] values in time order.
        among: How many such intervals are looked at. Together they cover all their truths with the probability ``LEVEL``.
    """
    return mean_interval(series, level=1 - (1 - LEVEL) / max(among, 1))


def samples_per_class(run: Run) -> Floats:
    """Returns [K] images of each class of the group: of the data set if known, else drawn in the measured steps."""
    counts = data_counts(run)
    sizes = np.array([len(ids) for ids in run.groups.classes], dtype=np.float64)
    return np.asarray((np.nansum(run.counts, axis=0) if counts is None else counts) / sizes)


def data_counts(run: Run) -> Floats | None:
    """Returns [K] training images of each group in the data set; None if they are not known."""
    counts = run.meta.class_counts
    if not counts or len(counts) < run.groups.num_classes or not sum(counts) > 0:
        return None
    return np.array([sum(counts[c] for c in ids) for ids in run.groups.classes], dtype=np.float64)


def head_of(run: Run) -> str:
    """Returns the group with most samples of each class."""
    return run.groups.names[int(np.argmax(samples_per_class(run)))]


def tail_of(run: Run) -> str:
    """Returns the group with fewest samples of each class; the last of equals."""
    found = samples_per_class(run)
    return run.groups.names[len(found) - 1 - int(np.argmin(found[::-1]))]


def looked_at(run: Run) -> tuple[str, ...]:
    """Returns the groups that a rule with long computations looks at: all, or of many the two ends of the class frequencies."""
    names = run.groups.names
    return names if len(names) <= MOST_GROUPS else tuple(dict.fromkeys((head_of(run), tail_of(run))))
