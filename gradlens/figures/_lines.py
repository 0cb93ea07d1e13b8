"""Lines over training: the measured values faint, their running mean strong above them, at most a screenful of points each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, TypeVar

import numpy as np
from numpy.typing import NDArray

from gradlens.estimation.smoothing import running_mean
from gradlens.figures._axis import Axis, Unit
from gradlens.figures._dots import dots_on
from gradlens.figures._downsample import rows_seen, visible
from gradlens.figures._names import Style
from gradlens.figures._sheet import Sheet, Trace, scatter
from gradlens.figures._theme import Theme, safe, theme_of
from gradlens.metrics.gram import Floats

if TYPE_CHECKING:
    from gradlens.runlog import Run

# Points of the faint line; the smooth one needs half as many. Well below the 4,000 that a page can bear for a line.
POINTS = 2000
# By default the running mean covers one part in so many of the run; of a short run, whose single batches would hide what it
# does, up to so many steps, as long as that is no more than a twelfth of it.
PARTS = 40
SHORTEST, COARSEST = 9, 12
# Lines with more rows are smoothed stretch by stretch.
LONG = 50_000
# Their range is taken from so many of their values: enough that a three-hundredth of them is not chance.
RANGED = 20_000


class Options(TypedDict, total=False):
    """What every figure over training can be asked for.

    Keys:
        x: "step" (default), "epoch", "time" or "fraction".
        smooth: Measured steps in the running mean; 1 = none; by default a fortieth of the run, in short
            runs up to 9. It never mixes two phases.
        theme: "light" (default) or "dark".
        window: Lowest and highest x that is seen: all points of a line are spent on it.
        points: At most so many points a line.
    """

    x: Unit
    smooth: int | None
    theme: Literal["light", "dark"]
    window: tuple[float, float] | None
    points: int


@dataclass(frozen=True)
class View:
    """Options with their defaults filled in."""

    x: Unit
    smooth: int | None
    theme: Theme
    window: tuple[float, float] | None
    points: int

    @classmethod
    def of(cls, options: Options) -> View:
        """Fills in the defaults.

        Raises:
            FigureError: An unknown theme.
        """
        return cls(
            options.get("x", "step"),
            options.get("smooth"),
            theme_of(options.get("theme", "light")),
            options.get("window"),
            options.get("points", POINTS),
        )

    def smoothing(self, steps: int) -> int:
        """Returns the window of the running mean for a run of so many measured steps."""
        if self.smooth is not None:
            return max(1, self.smooth)
        return max(1, steps // PARTS, min(SHORTEST, steps // COARSEST))


@dataclass(frozen=True)
class Line:
    """One line.

    Attributes:
        name: In legend and tooltip.
        values: [T] measured values, NaN = absent.
        style: How it is drawn.
        weights: [T] weights of the running mean (the samples behind each value), or None.
        format: d3 format of the tooltip's numbers.
        key: What is switched on and off together in all panels; the name by default.
        breaks: Rows with which a phase begins: running means end and begin there.
        kept: Running means that were taken already, by window.
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
        """Returns the line of some rows only."""
        weights = None if self.weights is None else self.weights[rows]
        return replace(self, values=self.values[rows], weights=weights, breaks=self.breaks_in(rows), kept={})

    def breaks_in(self, rows: slice) -> tuple[int, ...]:
        """Returns the breaks within some rows, counted from the first of them."""
        start, stop, _ = rows.indices(len(self.values))
        return tuple(row - start for row in self.breaks if start < row < stop)

    def level(self, window: int) -> tuple[NDArray[np.intp], Floats]:
        """Returns rows and the running mean there; of a long line not at every row.

        Between rows that are a sixteenth of the window apart, a running mean is a straight line to the eye; a line of more than
        ``LONG`` rows is averaged over such stretches first, which costs a fraction.
        """
        if window not in self.kept:
            ends = [0, *(row for row in self.breaks if 0 < row < len(self.values)), len(self.values)]
            stretches = [slice(a, b) for a, b in pairwise(ends)]
            found = [(self.part(rows) if len(stretches) > 1 else self)._level(window) for rows in stretches]
            places = [rows.start + at for rows, (at, _) in zip(stretches, found, strict=True)]
            self.kept[window] = np.concatenate(places), np.concatenate([smooth for _, smooth in found])
        return self.kept[window]

    def _level(self, window: int) -> tuple[NDArray[np.intp], Floats]:
        """Returns rows and the running mean there, as if there were no breaks."""
        rows, size = len(self.values), window // 16
        if rows <= LONG or size < 4:
            return np.arange(rows), self.smoothed(window)
        starts = np.arange(0, rows, size)
        return np.minimum(starts + size // 2, rows - 1), self.shortened(starts).smoothed(window // size)

    def shortened(self, starts: NDArray[np.intp]) -> Self:
        """Returns the line of the means over the stretches that begin at the given rows; NaN where all is absent."""
        if self.weights is None and math.isfinite(self.values.sum()):  # as soon known as anything: all are there
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
        """Returns [T] the (weighted) running mean."""
        if self.weights is None:
            return running_mean(self.values, window)
        weights = np.where(np.isfinite(self.values), self.weights, np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(running_mean(self.values * weights, window) / running_mean(weights, window))


_L = TypeVar("_L", bound=Line)


def apart(run: Run, lines: Sequence[_L]) -> list[_L]:
    """Returns the lines of a run whose running means do not mix its phases."""
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
    """Draws the lines into a panel, all faint ones behind all strong ones."""
    faint, strong, dots = [], [], []
    for line in lines:
        n = min(len(axis.positions), len(line.values))  # a live run may have grown between two looks
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
    """Returns the same numbers in fewer bytes: figures travel to a browser."""
    if np.issubdtype(values.dtype, np.integer):
        fits = len(values) == 0 or abs(int(values[-1])) < 2**31
        return values.astype(np.int32) if fits else values.astype(np.float64)
    return values.astype(np.float32)


def _strong(
    line: Line, x: Floats, values: Floats, window: int, view: View, legend: bool, shared: dict[str, Any]
) -> Trace:
    if window > 1:
        # The very line where it can be: its running mean is needed for the range as well.
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
    """Returns rows and the running mean there, of the part of the axis that is seen."""
    if seen is None:
        return line.level(window)
    first, last = rows_seen(x, seen)
    first, last = max(first - window - 1, 0), min(last + window + 1, len(x))
    rows, smooth = line.part(slice(first, last)).level(window)
    return first + rows, smooth


def robust_range(
    lines: Sequence[Line], view: View, *, zero: bool = True, headroom: bool = False, around: bool = False
) -> tuple[float, float] | None:
    """Returns a vertical range in which single outliers do not press the rest flat, or None where there is nothing to show.

    Args:
        lines: What is drawn.
        view: How.
        zero: Start at zero where nothing is negative.
        headroom: Leave room at the top for the names of phases.
        around: Show zero also where all is negative.
    """
    low, high = [], []
    for line in lines:
        values = line.values[:: max(1, len(line.values) // RANGED)]
        values = values[np.isfinite(values)]
        if len(values):
            window = view.smoothing(len(line.values))
            # A short window on a long line costs most and moves the range least.
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
    """Says in a subtitle what the strong lines of a run are."""
    window = view.smoothing(len(run))
    return f"mean of {window:,} measured steps, single steps faint" if window > 1 else "every measured step"
