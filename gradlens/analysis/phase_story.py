"""One run phase by phase beside a baseline: the mean of everything measured, with intervals, and what has changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gradlens.analysis.distortion import distortion_difference, distortion_interval
from gradlens.analysis.quantities import quantities
from gradlens.estimation.intervals import Interval, difference, mean_interval
from gradlens.metrics.catalogue import QUANTITIES

if TYPE_CHECKING:
    from gradlens.runlog import Run


@dataclass(frozen=True)
class Stretch:
    """Some measured steps of a run.

    Attributes:
        title: What it is called.
        run: Whose.
        rows: Which of its measured steps; at least one.
    """

    title: str
    run: Run
    rows: slice

    @property
    def span(self) -> tuple[int, int]:
        """Its first measured step and the one after its last."""
        steps = self.run.steps[self.rows]
        return int(steps[0]), int(steps[-1]) + 1


@dataclass(frozen=True)
class StoryRow:
    """One quantity in every stretch.

    Attributes:
        group: The group it is about, or "" for the whole run.
        quantity: What it is.
        means: Mean over each stretch.
        change: Last stretch less the first.
        percent: Whether it reads best in percent.
    """

    group: str
    quantity: str
    means: tuple[Interval, ...]
    change: Interval
    percent: bool

    @property
    def clear(self) -> bool:
        """Whether the interval of the change leaves out zero."""
        return self.change.measurable and not self.change.low <= 0 <= self.change.high


def stretches(run: Run, baseline: Run | None = None) -> list[Stretch]:
    """Returns the baseline as a whole, if given, and each phase of the run."""
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
    """Returns every quantity that the first and the last stretch have, and the distortion of each.

    Args:
        parts: At least two.
        groups: Groups that all of their runs have.
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
