"""Lines over training: faint lines of single steps, and on top strong lines of their running means.

A line has a limited number of points, so that long runs are drawn fast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, TypeVar

import numpy as np
from numpy.typing import NDArray

from gradlens.estimation.smoothing import running_mean
from gradlens.figures._axis import Axis, AxisUnit
from gradlens.figures._downsample import rows_seen, visible
from gradlens.figures._names import Style
from gradlens.figures._sheet import Sheet, Trace, dots_on, scatter
from gradlens.figures._theme import Theme, safe, theme_of
from gradlens.metrics.gram import Floats

if TYPE_CHECKING:
    from gradlens.runlog import Run

# The most points of a faint line. The strong line has half as many. A page stays fast with up to 4,000 points per line.
POINTS = 2000
# By default the running mean covers a fortieth (1 / PARTS) of the run. In a short run the noise of single batches would hide
# the course: there it covers up to 9 steps (SHORTEST), but at most a twelfth of the run (1 / COARSEST).
PARTS = 40
SHORTEST, COARSEST = 9, 12
# Lines with more rows than this are averaged over short bins before they are smoothed.
LONG = 50_000
# The range of an axis is taken from about this many values of a line: enough to estimate its 0.3 % quantiles.
RANGED = 20_000


class Options(TypedDict, total=False):
    """The options that every figure over training takes.

    Keys:
        x: "step" (default), "epoch", "time" or "fraction".
        smooth: Measured steps in the running mean; 1 = no smoothing. The default is a fortieth of the run, in short runs
            up to 9 steps. The mean never mixes two phases.
        theme: "light" (default) or "dark".
        window: (lowest, highest) x that is seen. All points of a line are chosen there.
        points: The most points of a line.
    """

    x: AxisUnit
    smooth: int | None
    theme: Literal["light", "dark"]
    window: tuple[float, float] | None
    points: int


@dataclass(frozen=True)
class View:
    """``Options`` with defaults for what was not given."""

    x: AxisUnit
    smooth: int | None
    theme: Theme
    window: tuple[float, float] | None
    points: int

    @classmethod
    def of(cls, options: Options) -> View:
        """Returns the view of the given options.

        Raises:
            FigureError: The theme is unknown.
        """
        return cls(
            options.get("x", "step"),
            options.get("smooth"),
            theme_of(options.get("theme", "light")),
            options.get("window"),
            options.get("points", POINTS),
        )

    def smoothing(self, steps: int) -> int:
        """Returns how many measured steps the running mean covers in a run of ``steps`` measured steps."""
        if self.smooth is not None:
            return max(1, self.smooth)
        return max(1, steps // PARTS, min(SHORTEST, steps // COARSEST))


@dataclass(frozen=True)
class Line:
    """One line of a figure.

    Attributes:
        name: Name in the legend and the tooltip.
        values: [T] measured values, NaN = absent.
        style: How it is drawn.
        weights: [T] weights of the running mean (the samples behind each value), or None.
        format: d3 format of the numbers in the tooltip.
        key: The legend switches all lines with the same key on and off together. The default is the name.
        breaks: First rows of later phases. A running mean never crosses them.
        kept: Cache of running means, by window.
    """

    name: str
    values: Floats
    style: Style
    weights: Floats | None = None
    format: str = ".3~g"
    key: str | None = None
    breaks: tuple[int, ...] = ()
    kept: dict[int, tuple[NDArray[np.intp], Floats]] = field(default_factory=dict, compare=False, repr=False)

    def part(self, rows: slice) -> Self:
        """Returns the part of the line in the given rows."""
        weights = None if self.weights is None else self.weights[rows]
        return replace(self, values=self.values[rows], weights=weights, breaks=self.breaks_in(rows), kept={})

    def breaks_in(self, rows: slice) -> tuple[int, ...]:
        """Returns the breaks inside the given rows, counted from the first of these rows."""
        start, stop, _ = rows.indices(len(self.values))
        return tuple(row - start for row in self.breaks if start < row < stop)

    def level(self, window: int) -> tuple[NDArray[np.intp], Floats]:
        """Returns [n] rows and [n] the running mean at these rows. For a long line these are not all rows.

        A line of more than ``LONG`` rows is first averaged over bins of a sixteenth of the window, which is much faster.
        Between neighbouring bins a running mean looks like a straight line, so the picture is the same.
        """
        if window not in self.kept:
            ends = [0, *(row for row in self.breaks if 0 < row < len(self.values)), len(self.values)]
            stretches = [slice(a, b) for a, b in pairwise(ends)]
            found = [(self.part(rows) if len(stretches) > 1 else self)._level(window) for rows in stretches]
            places = [rows.start + at for rows, (at, _) in zip(stretches, found, strict=True)]
            self.kept[window] = np.concatenate(places), np.concatenate([smooth for _, smooth in found])
        return self.kept[window]

    def _level(self, window: int) -> tuple[NDArray[np.intp], Floats]:
        """Returns the same as ``level``, for a line without breaks."""
        rows, size = len(self.values), window // 16
        if rows <= LONG or size < 4:
            return np.arange(rows), self.smoothed(window)
        starts = np.arange(0, rows, size)
        return np.minimum(starts + size // 2, rows - 1), self.shortened(starts).smoothed(window // size)

    def shortened(self, starts: NDArray[np.intp]) -> Self:
        """Returns a shorter line: means over bins with the first rows ``starts`` [n]; NaN if a bin has no finite value."""
        if self.weights is None and math.isfinite(self.values.sum()):  # the usual case, found fast: no value is absent
            totals = np.diff(np.append(starts, len(self.values))).astype(np.float64)
            return replace(
                self, values=np.add.reduceat(self.values, starts) / totals, weights=totals, breaks=(), kept={}
            )
        present = np.isfinite(self.values)
        weights = present.astype(np.float64) if self.weights is None else np.where(present, self.weights, 0.0)
        sums = np.add.reduceat(np.where(present, self.values, 0.0) * weights, starts)
        totals = np.add.reduceat(weights, starts)
        with np.errstate(invalid="ignore", divide="ignore"):
            return replace(self, values=sums / totals, weights=totals, breaks=(), kept={})

    def smoothed(self, window: int) -> Floats:
        """Returns [T] the running mean of the values, weighted if the line has weights."""
        if self.weights is None:
            return running_mean(self.values, window)
        weights = np.where(np.isfinite(self.values), self.weights, np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(running_mean(self.values * weights, window) / running_mean(weights, window))


_L = TypeVar("_L", bound=Line)


def apart(run: Run, lines: Sequence[_L]) -> list[_L]:
    """Returns the lines with breaks at the phases of the run, so that running means do not mix phases."""
    breaks = tuple(int(row) for row in np.searchsorted(run.steps, [phase.start for phase in run.phases[1:]]))
    return [replace(line, breaks=breaks, kept={}) for line in lines] if breaks else list(lines)


def add_lines(
    sheet: Sheet,
    axis: Axis,
    lines: Sequence[Line],
    view: View,
    *,
    row: int = 1,
    col: int = 1,
    legend: bool = True,
) -> None:
    """Draws lines into a panel (rows and columns count from 1): all faint lines first, then all strong lines on top."""
    faint, strong, dots = [], [], []
    for line in lines:
        n = min(len(axis.positions), len(line.values))  # a live run may have grown between two reads
        x, values = axis.positions[:n], line.values[:n]
        window = view.smoothing(n)
        shared: dict[str, Any] = {"legendgroup": safe(line.key or line.name), "name": safe(line.name)}
        if window > 1:
            kept = visible(x, values, view.points, view.window)
            faint.append(
                scatter(
                    x=compact(x[kept]), y=compact(values[kept]), mode="lines", hoverinfo="skip", showlegend=False,
                    line={"color": line.style.color, "width": 1}, opacity=0.28, **shared,
                )
            )  # fmt: skip
        drawn = _strong(line, x, values, window, view, legend, shared)
        strong.append(drawn)
        dots += dots_on(drawn, window)
    for trace in (*faint, *strong, *dots):
        sheet.add_trace(trace, row=row, col=col)


def compact(values: NDArray[Any]) -> NDArray[Any]:
    """Returns the numbers with 32 bits each, for a browser. Floats are rounded; integers beyond 32 bits become float64."""
    if np.issubdtype(values.dtype, np.integer):
        fits = len(values) == 0 or abs(int(values[-1])) < 2**31
        return values.astype(np.int32) if fits else values.astype(np.float64)
    return values.astype(np.float32)


def _strong(
    line: Line, x: Floats, values: Floats, window: int, view: View, legend: bool, shared: dict[str, Any]
) -> Trace:
    if window > 1:
        # If possible the line itself, not a part of it: its cached running mean also gives the range of the axis.
        rows, smooth = _running(
            line if len(x) == len(line.values) else line.part(slice(len(x))), x, window, view.window
        )
        chosen = visible(x[rows], smooth, max(4, view.points // 2), view.window)
        kept, y = rows[chosen], smooth[chosen]
    else:
        kept = visible(x, values, view.points, view.window)
        y = values[kept]
    trace: dict[str, Any] = {**line.style.marked, "hovertemplate": f"%{{y:{line.format}}}"}
    if window > 1:
        trace["customdata"] = compact(values[kept])
        trace["hovertemplate"] += f" (this step %{{customdata:{line.format}}})"
    return scatter(
        x=compact(x[kept]),
        y=compact(y),
        line=line.style.line,
        showlegend=legend,
        **trace,
        **shared,
    )


def _running(
    line: Line, x: NDArray[Any], window: int, seen: tuple[float, float] | None
) -> tuple[NDArray[np.intp], Floats]:
    """Returns rows and the running mean at these rows, for the part of the axis that is seen (None = all of it)."""
    if seen is None:
        return line.level(window)
    first, last = rows_seen(x, seen)
    first, last = max(first - window - 1, 0), min(last + window + 1, len(x))
    rows, smooth = line.part(slice(first, last)).level(window)
    return first + rows, smooth


def robust_range(
    lines: Sequence[Line], view: View, *, zero: bool = True, headroom: bool = False, around: bool = False
) -> tuple[float, float] | None:
    """Returns (lowest, highest) of a vertical axis, or None if there are no values.

    Outliers among the single steps may lie outside it, so that they do not press the other values flat. Running means lie
    inside it; only short windows on long lines are not looked at.

    Args:
        lines: The lines that are drawn.
        view: How they are drawn.
        zero: Start the axis at zero if no value is negative.
        headroom: Leave room at the top for the names of phases.
        around: Include zero even if all values are negative.
    """
    low, high = [], []
    for line in lines:
        values = line.values[:: max(1, len(line.values) // RANGED)]
        values = values[np.isfinite(values)]
        if len(values):
            window = view.smoothing(len(line.values))
            # On a long line a short window costs the most and changes the range the least, so it is skipped.
            exact = len(line.values) <= LONG or window >= 64
            smooth = line.level(window)[1] if exact else values[:0]
            bounds = np.quantile(values, (0.003, 0.997))
            low.append(min(float(bounds[0]), float(np.nanmin(smooth, initial=np.inf))))
            high.append(max(float(bounds[1]), float(np.nanmax(smooth, initial=-np.inf))))
    if not low:
        return None
    bottom, top = min(low), max(max(high), 0.0 if around else -math.inf)
    if zero and bottom >= 0:
        bottom = 0.0
    margin = 0.05 * (top - bottom) or 0.05 * abs(top) or 1.0
    return (bottom if zero and bottom == 0 else bottom - margin), top + margin * (2.6 if headroom else 1)


def smoothing_text(view: View, run: Run) -> str:
    """Returns a text for the subtitle: what the strong lines of a run are the mean of."""
    window = view.smoothing(len(run))
    return f"mean of {window:,} measured steps, single steps faint" if window > 1 else "every measured step"
