"""The horizontal axis of a figure: it places measured steps, phases and marks.

The axis counts optimizer steps, epochs, time, or the fraction of the training that has passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from gradlens.figures._notices import moments
from gradlens.figures._sheet import Sheet
from gradlens.figures._theme import FigureError, Theme, safe
from gradlens.metrics.gram import Floats

if TYPE_CHECKING:
    from gradlens.runlog import Run

AxisUnit = Literal["step", "epoch", "time", "fraction"]
UNITS: tuple[AxisUnit, ...] = ("step", "epoch", "time", "fraction")
# A figure shades at most this many phases. More bands could not be told apart.
MOST_PHASES = 100
# With more marks than this the figure draws only their lines. Their texts would cover each other.
MOST_TEXTS = 12
# With fewer steps than this plotly would also label half steps.
FEW_STEPS = 8
STILL_TRAINS = "still trains, so which part of training its steps are is not known yet"


@dataclass(frozen=True)
class Axis:
    """Where the measured steps lie on the horizontal axis.

    Attributes:
        positions: [T] ascending positions of the measured steps.
        title: What the axis counts.
        unit: Short name of the unit for tooltips.
    """

    positions: NDArray[Any]
    title: str
    unit: str

    def of_steps(self, run: Run, steps: Sequence[float]) -> Floats:
        """Returns the positions of optimizer steps, measured or not.

        Args:
            run: The run that the axis belongs to.
            steps: [n] numbers of optimizer steps.

        Returns:
            [n] positions; the steps themselves if the axis is empty.
        """
        if not len(self.positions):
            return np.asarray(steps, dtype=np.float64)
        known = run.steps[: len(self.positions)]
        inside = np.interp(steps, known, self.positions)
        if len(known) < 2:
            return np.asarray(inside)
        # Outside the measured steps the axis continues with its mean slope.
        slope = (self.positions[-1] - self.positions[0]) / (known[-1] - known[0])
        beyond = np.maximum(np.asarray(steps, dtype=np.float64) - known[-1], 0)
        before = np.minimum(np.asarray(steps, dtype=np.float64) - known[0], 0)
        return np.asarray(inside + slope * (beyond + before))


def units(run: Run) -> list[AxisUnit]:
    """Returns the units that the axis of a run can have.

    "epoch" needs a run with epochs. "fraction" needs a run that has ended.
    """
    able = {"epoch": lambda: _has_epochs(run), "fraction": lambda: not run.status.live}
    return [unit for unit in UNITS if unit not in able or able[unit]()]


def horizontal(*axes: Axis) -> dict[str, Any]:
    """Returns plotly's settings for the horizontal axis of a figure.

    Steps get whole numbers as labels, even if there are few.

    Args:
        *axes: The axis of each run in the figure; all have the same unit.
    """
    ends = [end for axis in axes if len(axis.positions) for end in (axis.positions[0], axis.positions[-1])]
    few = axes[0].unit == "step" and bool(ends) and max(ends) - min(ends) < FEW_STEPS
    return {"title": {"text": axes[0].title}, **({"dtick": 1} if few else {})}


def _has_epochs(run: Run) -> bool:
    epochs = run.epoch
    return len(epochs) > 0 and bool(np.isfinite(epochs[-1]) or np.isfinite(epochs).any())


def axis_of(run: Run, unit: str) -> Axis:
    """Returns the axis of a run.

    Args:
        run: The run.
        unit: "step" (optimizer steps), "epoch" (with fractions), "time" (since the start of the run) or "fraction" (of
            the training).

    Raises:
        FigureError: The unit is unknown, the run has no epochs, or "fraction" is asked of a run that still trains.
    """
    steps = run.steps
    if unit == "step":
        return Axis(steps, "optimizer step", "step")
    if unit == "time":
        return _time(run)
    if unit == "fraction":
        if run.status.live:
            raise FigureError(f"run {run.name!r} {STILL_TRAINS}; draw it over 'step' or 'time'")
        last = float(steps[-1]) if len(steps) else 1.0
        return Axis(steps / max(last, 1.0), "part of training", "part")
    if unit == "epoch":
        if len(steps) and not _has_epochs(run):
            raise FigureError(
                f"run {run.name!r} has no epochs (lens.epochs counts them); draw it over 'step' or 'time'"
            )
        return Axis(_fractional_epochs(steps, run.epoch), "epoch", "epoch")
    raise FigureError(f"x={unit!r}; choose one of {', '.join(UNITS)}")


def add_events(
    sheet: Sheet,
    run: Run,
    axis: Axis,
    theme: Theme,
    panels: Sequence[tuple[int, int]],
    *,
    above: bool = False,
    of: str = "",
) -> None:
    """Draws the events of a run into panels: phases as bands, marks and rare events as lines.

    Their names are written into the first panel.

    Args:
        sheet: The figure to draw into.
        run: The run whose events are drawn.
        axis: The run's axis.
        theme: Colours.
        panels: (row, column) of each panel, counted from 1.
        above: True if the panel is full (a heat map): borders are drawn over it, and the names stand above it.
        of: Name of the run, written before the name of its first phase. Needed if the panel shows other runs too.
    """
    if not len(axis.positions):
        return
    first, end = float(axis.positions[0]), float(axis.positions[-1])
    layer = "above" if above else "below"
    # A single phase would only colour the whole panel.
    phases = run.phases[:MOST_PHASES] if len(run.phases) > 1 else []
    for index, phase in enumerate(phases):
        start, stop = (float(at) for at in axis.of_steps(run, [phase.start, phase.end or phase.start]))
        stop = stop if phase.end is not None else max(end, start)
        band = theme.band if index % 2 == 0 and not above else "rgba(0,0,0,0)"
        border = {"width": 1.5 if above else 0, "color": theme.ink}
        for row, col in panels:
            sheet.add_shape(
                type="rect", x0=start, x1=stop, y0=0, y1=1, yref="y domain", row=row, col=col, layer=layer,
                fillcolor=band, line=border,
            )  # fmt: skip
        text = f" {safe(of)}: phase {safe(phase.name)} " if of and not index else f" phase {safe(phase.name)} "
        # Plotly makes the axis longer for a text that reaches beyond it. So names in the right half end with their phase.
        late = start > (first + end) / 2
        _write(
            sheet, panels[0], text, theme, stop if late else start, 1, "bottom" if above else "top", "right" if late else "left"
        )  # fmt: skip
    marks = moments(run)
    for mark in marks:
        at = float(axis.of_steps(run, [mark.step])[0])
        for row, col in panels:
            sheet.add_shape(
                type="line", x0=at, x1=at, y0=0, y1=1, yref="y domain", row=row, col=col,
                line={"width": 1, "dash": "dot", "color": theme.muted},
            )  # fmt: skip
        if len(marks) <= MOST_TEXTS and not above:
            _write(sheet, panels[0], f" {safe(_short(mark.text))} ", theme, at, 0, "bottom", "right", angle=-90)


def _write(
    sheet: Sheet,
    panel: tuple[int, int],
    text: str,
    theme: Theme,
    x: float,
    y: float,
    vertical: str,
    horizontal: str,
    angle: int = 0,
) -> None:
    sheet.add_annotation(
        text=text, x=x, y=y, yref="y domain", row=panel[0], col=panel[1], xanchor=horizontal, yanchor=vertical,
        showarrow=False, textangle=angle, bgcolor=theme.veil if angle else None, borderpad=1,
        font={"size": 11, "color": theme.muted},
    )  # fmt: skip


def _short(text: str, most: int = 32) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _time(run: Run) -> Axis:
    time = run.time
    if not len(time):
        return Axis(time, "minutes since the start", "min")
    start = run.meta.started if run.meta.started is not None and run.meta.started <= time[0] else float(time[0])
    # The clock may be set back, also during the pause of a resumed run. The axis must not run backwards.
    seconds = np.maximum.accumulate(time - start)
    hours = seconds[-1] > 3 * 3600
    return Axis(
        seconds / (3600 if hours else 60), f"{'hours' if hours else 'minutes'} since the start", "h" if hours else "min"
    )


def _fractional_epochs(steps: NDArray[np.int64], epochs: Floats) -> Floats:
    """Returns [T] epochs with the fraction that has passed, so that the steps of an epoch lie side by side.

    An epoch lasts from its first measured step to that of the next epoch. The last epoch is taken to last as long as
    the one before it, or longer if its measured steps reach further.
    """
    out = np.full(len(steps), np.nan)
    known = np.flatnonzero(np.isfinite(epochs))
    if not len(known):
        return out
    e, s = np.maximum.accumulate(epochs[known]), steps[known].astype(np.float64)
    numbers, first = np.unique(e, return_index=True)
    starts = s[first]
    lengths = np.diff(starts)
    last = lengths[-1] if len(lengths) else s[-1] - starts[0] + 1
    lengths = np.maximum(np.append(lengths, max(last, s[-1] - starts[-1] + 1)), 1)
    spans = np.append(np.diff(numbers), 1.0)
    which = np.searchsorted(numbers, e)
    out[known] = e + spans[which] * (s - starts[which]) / lengths[which]
    return out
