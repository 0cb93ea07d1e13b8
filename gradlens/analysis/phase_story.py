"""Compares the phases of a run with each other and with a baseline: means of every quantity with intervals, and the change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gradlens.analysis.distortion import distortion_difference, distortion_interval
from gradlens.analysis.quantities import quantities
from gradlens.estimation.interval import Interval
from gradlens.estimation.intervals import difference, mean_interval
from gradlens.metrics.catalogue import QUANTITIES

if TYPE_CHECKING:
    from gradlens.runlog import Run


@dataclass(frozen=True)
class Stretch:
    """Some measured steps of a run.

    Attributes:
        title: Title of its column.
        run: The run.
        rows: Rows of its measured steps; at least one.
    """

    title: str
    run: Run
    rows: slice

    @property
    def span(self) -> tuple[int, int]:
        """(start, stop): its first measured step, and the step after its last measured step."""
        steps = self.run.steps[self.rows]
        return int(steps[0]), int(steps[-1]) + 1


@dataclass(frozen=True)
class StoryRow:
    """One quantity in every stretch.

    Attributes:
        group: The group it is about, or "" for the whole run.
        quantity: Title of the quantity.
        means: Mean over each stretch, with its interval.
        change: Mean of the last stretch minus that of the first, with its interval.
        percent: True if it is shown in percent.
    """

    group: str
    quantity: str
    means: tuple[Interval, ...]
    change: Interval
    percent: bool

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """The means and the change."""
        return (*self.means, self.change)

    @property
    def clear(self) -> bool:
        """True if the interval of the change does not hold zero."""
        return self.change.measurable and not self.change.low <= 0 <= self.change.high


def stretches(run: Run, baseline: Run | None = None) -> list[Stretch]:
    """Returns the whole baseline, if given, and each phase of the run that has measured steps."""
    steps = np.asarray(run.steps)
    found = (
        [Stretch(baseline.name, baseline, slice(0, len(baseline)))] if baseline is not None and len(baseline) else []
    )
    for phase in run.phases:
        stop = len(steps) if phase.end is None else int(np.searchsorted(steps, phase.end))
        rows = slice(int(np.searchsorted(steps, phase.start)), stop)
        if rows.start < rows.stop:
            found.append(Stretch(f"{run.name}, phase {phase.name}", run, rows))
    return found


def phase_story(parts: Sequence[Stretch], groups: Sequence[str]) -> list[StoryRow]:
    """Returns the rows of every quantity that was measured in any stretch, and the distortion of each stretch.

    Args:
        parts: Two or more stretches.
        groups: Groups that all runs of the stretches have.
    """
    rows = []
    for found in zip(*(list(quantities(part.run, groups)) for part in parts), strict=True):
        series = [q.values[part.rows] for q, part in zip(found, parts, strict=True)]
        means = tuple(mean_interval(values).within(*found[0].range) for values in series)
        change = difference(series[-1], series[0]).within(*found[0].range_of_differences)
        if any(mean.samples for mean in means):
            rows.append(StoryRow(found[0].group, found[0].title, means, change, found[0].quantity.percent))
    distortions = tuple(distortion_interval(part.run, *part.span) for part in parts)
    change = distortion_difference(parts[-1].run, parts[0].run, parts[-1].span, parts[0].span)
    return [*rows, StoryRow("", QUANTITIES["distortion"].title, distortions, change, False)]
