"""Sets of runs, such as the seeds of each method: the mean over the runs of a set, and a band with its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from gradlens.analysis.quantities import series_of
from gradlens.estimation.student import t_quantile
from gradlens.figures._axis import Axis, axis_of, horizontal
from gradlens.figures._common_window import common_text, common_views
from gradlens.figures._curves import NO_STEPS
from gradlens.figures._describe import subtitle
from gradlens.figures._distortion import distortion_line
from gradlens.figures._lines import Line, Options, View, apart
from gradlens.figures._names import Style, style_of
from gradlens.figures._quantities import quantity_of_a_group
from gradlens.figures._scale import log_norms
from gradlens.figures._sheet import Sheet, drawing, scatter
from gradlens.figures._theme import FigureError, dress, legend_of, note, safe
from gradlens.metrics.catalogue import QUANTITIES, Unit
from gradlens.metrics.gram import Floats

if TYPE_CHECKING:
    from gradlens.runlog import Run

# Points of the common grid on which runs are averaged.
GRID = 400
LEVEL = 0.95
# How strong the colour of a band is.
BAND = 0.16


@dataclass(frozen=True)
class Band:
    """The mean over the runs of a set.

    Attributes:
        x: [N] positions on the horizontal axis.
        mean: [N] mean over the runs that have a value there; NaN if none has.
        low: [N] lower end of the interval of that mean; NaN where fewer than two runs have a value.
        high: [N] upper end.
        runs: [N] how many runs have a value there.
    """

    x: Floats
    mean: Floats
    low: Floats
    high: Floats
    runs: Floats


@drawing
def combined(
    sets: Mapping[str, Sequence[Run]], quantity: str, group: str = "", *, log: bool = False, **options: Unpack[Options]
) -> Sheet:
    """Draws a quantity as the mean over the runs of each set, with the 95 % interval of that mean (Student's t over runs).

    The running mean of each run is read on a common grid, so runs may be measured at different steps. The interval is about
    other runs of the same kind, such as other seeds. A set of one run has no band.

    Args:
        sets: Name of each set -> its runs.
        quantity: "distortion", or a quantity of ``gradlens.metrics.catalogue`` that groups have.
        group: The group; "" for the distortion.
        log: Logarithmic axis. It has an effect on norms only.
        **options: See ``Options``; ``points`` has no effect here.

    Raises:
        FigureError: There is no run, the quantity is unknown, or a run does not have the group or the axis.
    """
    view = View.of(options)
    runs = [run for of in sets.values() for run in of]
    if not runs:
        raise FigureError("no run to draw; give at least one")
    drawn = QUANTITIES["distortion"] if quantity == "distortion" else quantity_of_a_group(quantity)
    views = dict(zip(map(id, runs), common_views(view, runs), strict=True))
    sheet, axes, bands = Sheet(), [], []
    for name, of in sets.items():
        style = style_of("method", name, view.theme)
        found = [(axis_of(run, view.x), _line(run, quantity, group, style)) for run in of]
        axes += [axis for axis, _ in found]
        curves = [_curve(axis, line, views[id(run)]) for run, (axis, line) in zip(of, found, strict=True)]
        band = averaged(curves, view.window)
        if quantity == "distortion":
            band = replace(band, low=np.maximum(band.low, 0.0))  # a distance is not below zero
        bands.append(band)
        _draw(sheet, name, len(of), band, style, ".1%" if drawn.percent else ".3~g")
    sizes = sorted({len(of) for of in sets.values()})
    count = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    about = f"mean over {count} run{'' if sizes == [1] else 's'} of each kind"
    shaded = "band: 95 % interval of that mean, from the spread of the runs" if sizes[-1] > 1 else ""
    steps = common_text(view, runs).removesuffix("; single steps faint")
    title = f"{safe(group)}: {drawn.title}" if group else drawn.title[0].upper() + drawn.title[1:]
    dress(sheet, view.theme, title, subtitle(about, shaded, steps))
    sheet.update_layout(**legend_of(len(sets)))
    sheet.update_xaxes(**horizontal(*axes))
    percent: dict[str, Any] = {"tickformat": ".0%"} if drawn.percent else {}
    sheet.update_yaxes(title={"text": drawn.title}, **percent)
    if log and drawn.unit is Unit.GRADIENT:
        sheet.update_yaxes(**log_norms([Line("", band.mean, style) for band in bands]))
    elif quantity == "distortion":
        sheet.update_yaxes(rangemode="tozero")
    return sheet if any(map(len, runs)) else note(sheet, view.theme, NO_STEPS)


def averaged(curves: Sequence[tuple[Floats, Floats]], window: tuple[float, float] | None = None) -> Band:
    """Returns the mean of curves on a common grid, with the interval of the mean.

    Args:
        curves: (x, y) of each run, x ascending.
        window: (lowest, highest) x of the grid; None = from the first to the last x of any curve.
    """
    curves = [(x[np.isfinite(y)], y[np.isfinite(y)]) for x, y in curves]
    curves = [(x, y) for x, y in curves if len(x)]
    if not curves:
        nothing = np.empty(0)
        return Band(nothing, nothing, nothing, nothing, nothing)
    low, high = min(float(x[0]) for x, _ in curves), max(float(x[-1]) for x, _ in curves)
    if window is not None:
        low, high = max(low, window[0]), min(high, window[1])
    grid = np.linspace(low, max(low, high), GRID)
    values = np.stack([np.interp(grid, x, y, left=np.nan, right=np.nan) for x, y in curves])  # [runs, N]
    present = np.isfinite(values)
    runs = present.sum(0).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(present, values, 0.0).sum(0) / runs
        variance = np.where(present, (values - mean) ** 2, 0.0).sum(0) / (runs - 1)
        quantiles = {n: t_quantile(0.5 + LEVEL / 2, n - 1) for n in set(runs.astype(int)) if n > 1}
        half = np.array([quantiles.get(int(n), math.nan) for n in runs]) * np.sqrt(variance / runs)
    return Band(grid, mean, mean - half, mean + half, runs)


def _line(run: Run, quantity: str, group: str, style: Style) -> Line:
    if quantity == "distortion":
        return distortion_line(run, style, run.name)
    if group not in run.groups.names:
        raise FigureError(f"run {run.name!r} has no group {group!r}; it has {', '.join(run.groups.names)}")
    return apart(run, [Line(run.name, series_of(run, quantity_of_a_group(quantity), group), style)])[0]


def _curve(axis: Axis, line: Line, view: View) -> tuple[Floats, Floats]:
    n = min(len(axis.positions), len(line.values))  # a live run may have grown between two reads
    rows, smooth = line.part(slice(n)).level(view.smoothing(n)) if n else (np.empty(0, np.intp), np.empty(0))
    return np.asarray(axis.positions[rows], dtype=np.float64), smooth


def _draw(sheet: Sheet, name: str, runs: int, band: Band, style: Style, form: str) -> None:
    shared: dict[str, Any] = {"legendgroup": safe(name), "name": f"{safe(name)} ({runs})"}
    known = np.isfinite(band.low)
    if known.any():
        x, low, high = band.x[known], band.low[known], band.high[known]
        sheet.add_trace(scatter(
            x=np.concatenate([x, x[::-1]]), y=np.concatenate([low, high[::-1]]), mode="lines", line={"width": 0}, fill="toself",
            fillcolor=style.color, opacity=BAND, hoverinfo="skip", showlegend=False, **shared,
        ))  # fmt: skip
    half = np.where(known, (band.high - band.low) / 2, np.nan)
    sheet.add_trace(scatter(
        x=band.x, y=band.mean, line=style.line, customdata=np.stack([half, band.runs], axis=-1),
        hovertemplate=f"%{{y:{form}}} ± %{{customdata[0]:{form}}}, %{{customdata[1]}} runs", showlegend=True, **style.marked,
        **shared,
    ))  # fmt: skip
