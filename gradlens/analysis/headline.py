"""The headline of a run: its distortion, and the groups that the distortion is about. All lists of runs show the same."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gradlens.analysis.distortion import distortion_interval
from gradlens.analysis.quantities import filled_share
from gradlens.analysis.row import FEW, Headline
from gradlens.analysis.two_runs import sample_shares
from gradlens.estimation.interval import Interval
from gradlens.estimation.intervals import mean_interval

if TYPE_CHECKING:
    from gradlens.runlog import Run

# Up to this many groups are listed by name.
LISTED = 3


def headline(run: Run) -> Headline:
    """Returns the headline of a run."""
    steps = np.asarray(run.steps)
    later = [phase for phase in run.phases if len(steps) and steps[0] < phase.start <= steps[-1]]
    start = later[-1].start if later else None
    few = 0 < int(np.sum(steps >= (0 if start is None else start))) < FEW
    last = distortion_interval(run, start) if later else Interval.none(math.nan, 0)
    phase = later[-1].name if later else ""
    return Headline(distortion_interval(run), phase, last, few, groups_named(run), two_groups_text(run))


def groups_named(run: Run) -> str:
    """Returns a text with the groups of a run and their numbers of classes, or, for many, how many groups there are."""
    names, classes = run.groups.names, run.groups.classes
    of = run.groups.members
    if len(names) > LISTED:
        return f"{len(names)} groups" + ("" if of is None else f" of {of}")
    return ("" if of is None else f"{of}: ") + ", ".join(
        f"{name} ({len(ids)})" for name, ids in zip(names, classes, strict=True)
    )


def grouping(run: Run) -> str:
    """Returns a text that is the same for runs whose groups have the same names and classes."""
    return hashlib.sha256(repr(_grouping(run)).encode()).hexdigest()[:16]


def groups_differ(runs: Sequence[Run]) -> bool:
    """Says whether the groups of the runs differ in their names or classes."""
    return len({_grouping(run) for run in runs}) > 1


def _grouping(run: Run) -> tuple[object, ...]:
    names = run.groups.names, run.groups.classes
    return names if run.groups.members is None else (*names, run.groups.members)


def last_share(run: Run) -> Interval | None:
    """Returns the mean share of the update of the last of two groups; None if there are not two groups.

    With two groups this one share says everything, since the shares add up to 1.
    """
    if len(run.groups) != 2:
        return None
    return mean_interval(filled_share(run, run.groups.names[1]))


def two_groups_text(run: Run) -> str:
    """Returns a text for a run with two groups: the last group's share of the update, of the samples and of the classes.

    "" for other runs.
    """
    share = last_share(run)
    if share is None or not math.isfinite(share.value):
        return ""
    name, fraction = run.groups.names[1], float(run.groups.fractions()[1])
    ends = f" [{share.low:.1%}, {share.high:.1%}]" if share.measurable else ""
    points = 100 * (share.value - fraction)
    beside = f"{abs(points):.1f} points {'below' if points < 0 else 'above'} its part of the {run.groups.units}"
    return (
        f"{name}: {share.value:.1%}{ends} of the update, {sample_shares(run)[name]:.1%} of the samples, {fraction:.1%} of the "
        f"{run.groups.units}: {beside}"
    )
