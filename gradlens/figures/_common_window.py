"""One smoothing window, in optimizer steps, for all runs of a figure.

Two runs of the same training then look alike, even if one of them was measured less often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from gradlens.figures._lines import Line, View, robust_range

if TYPE_CHECKING:
    from gradlens.runlog import Run


def common_views(view: View, runs: Sequence[Run]) -> list[View]:
    """Returns a view for each run. All their windows cover the same number of optimizer steps: ``common_window``."""
    widest = common_window(view, runs)
    return [replace(view, smooth=max(1, round(widest / _spacing(run)))) for run in runs]


def common_window(view: View, runs: Sequence[Run]) -> int:
    """Returns the number of optimizer steps in the widest smoothing window of the runs."""
    return max((round(view.smoothing(len(run)) * _spacing(run)) for run in runs if len(run)), default=1)


def common_text(view: View, runs: Sequence[Run]) -> str:
    """Returns a text for the subtitle: what the strong lines are the mean of."""
    steps = common_window(view, runs)
    rows = [own.smooth or 1 for own in common_views(view, runs)]
    if max(rows, default=1) == 1:
        return "every measured step"
    measured = f"{min(rows):,}" if min(rows) == max(rows) else f"{min(rows):,} to {max(rows):,}"
    return f"mean over {steps:,} steps of training, {measured} of them measured; single steps faint"


def common_range(lines: Sequence[Line], views: Sequence[View], *, headroom: bool = False) -> tuple[float, float] | None:
    """Returns (lowest, highest) of a vertical axis that holds all lines, or None if they have no values.

    Args:
        lines: The lines.
        views: The view of each line.
        headroom: Leave room at the top for the names of phases.
    """
    ranges = [robust_range([line], own, headroom=headroom) for line, own in zip(lines, views, strict=True)]
    known = [bounds for bounds in ranges if bounds is not None]
    return (min(low for low, _ in known), max(high for _, high in known)) if known else None


def _spacing(run: Run) -> float:
    """Returns the mean number of optimizer steps from one measured step to the next; at least 1."""
    rows = len(run)
    return max(1.0, float(run.steps[rows - 1] - run.steps[0]) / (rows - 1)) if rows > 1 else 1.0
