"""Figures of shares: each group's share of the update, over training or in one step, and each class's share in a probe.

One more figure shows which classes each group has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

import numpy as np
from numpy.typing import NDArray

from gradlens.class_ids import ranges
from gradlens.figures._axis import add_events, axis_of, horizontal
from gradlens.figures._bins import edge_positions, edges_of
from gradlens.figures._curves import MOST_LINES, NO_STEPS
from gradlens.figures._describe import probe_text, run_text, subtitle
from gradlens.figures._heat import group_heat
from gradlens.figures._lines import Options, View
from gradlens.figures._names import rest_style, styles_of
from gradlens.figures._scale import counts_axis
from gradlens.figures._sheet import Sheet, bar, drawing, scatter
from gradlens.figures._theme import dress, note, safe, theme_of
from gradlens.metrics.catalogue import QUANTITIES
from gradlens.metrics.gram import REST, Floats, share
from gradlens.metrics.measurement import Measurement

if TYPE_CHECKING:
    from gradlens.groups import ClassGroups
    from gradlens.runlog import Probe, Run

# The most bars over training. A short run has a bar for every 3 measured steps (STEPS), but at least 30 bars (FEWEST) if it has
# that many steps.
BARS = 120
STEPS, FEWEST = 3, 30
# With at most this many edges the axis is labelled at the edges of the bars.
FEW_BARS = 12
# So few class ids are all written.
FEW_CLASSES = 20
# A mean share of the rest below this is rounding and is not drawn.
NEGLIGIBLE = 1e-3


@drawing
def shares(run: Run, *, beside: Sequence[Run] = (), **options: Unpack[Options]) -> Sheet:
    """Draws each group's share of the update over training as stacked bars that add up to 1.

    More than 8 groups are drawn as a heat map.

    A group without samples in a step has share 0 there. A negative share (the update goes against the group's gradient) is drawn
    below zero. The dashed lines show where the borders would be if each group's share were its fraction of the classes.

    Args:
        run: The run.
        beside: Runs whose figures stand above or below this one. The horizontal axis covers all of them.
        **options: See ``Options``. A bar is the mean of ``smooth`` measured steps or more, and never mixes two phases.

    Raises:
        FigureError: The theme is unknown, or one of the runs does not have the axis.
    """
    view = View.of(options)
    title = "Whose update is it? Share of each group"
    names = run.groups.names
    if len(names) > MOST_LINES:
        return group_heat(run, QUANTITIES["share"], title, view)
    sheet = Sheet()
    values = {name: run.share(name) for name in names}
    rest = run.share(REST)
    some = rest[:: max(1, len(rest) // 10_000)]
    if np.isfinite(some).any() and abs(float(np.nanmean(some))) > NEGLIGIBLE:
        values[REST] = rest
    axis = axis_of(run, view.x)
    n = min(len(axis.positions), *(len(v) for v in values.values()))
    edges = _edges(run, view, n)
    x = edge_positions(axis.positions[:n], edges) if n else np.array([])
    styles = {**styles_of("group", names, view.theme), REST: rest_style(view.theme)}
    heights = _mean_shares({name: value[:n] for name, value in values.items()}, edges)
    for name in values:
        sheet.add_trace(
            bar(
                x=(x[1:] + x[:-1]) / 2, width=np.diff(x), y=heights[name], name=safe(name),
                # Lines of the same colour close the gaps between bars that end inside a pixel.
                marker={
                    "color": styles[name].color, "line": {"width": 0.6, "color": styles[name].color},
                    **({"pattern": {"shape": styles[name].pattern}} if styles[name].pattern else {}),
                },
                hovertemplate="%{y:.1%}",
            )
        )  # fmt: skip
    each = round(n / max(len(edges) - 1, 1))
    bars = f"each bar the mean of about {each:,} measured steps" if each > 1 else ""
    text = subtitle(run_text(run), bars, f"dashed: shares of the {safe(run.groups.units)}")
    dress(sheet, view.theme, title, text)
    for border in np.cumsum(run.groups.fractions())[:-1]:
        sheet.add_hline(float(border), line={"color": view.theme.ink, "width": 1.5, "dash": "dash"})
    add_events(sheet, run, axis, view.theme, [(1, 1)])
    sheet.update_layout(barmode="relative", bargap=0)
    sheet.update_xaxes(**horizontal(axis))
    if len(edges) <= FEW_BARS and np.issubdtype(
        axis.positions.dtype, np.integer
    ):  # by default plotly labels the middles of the bars
        sheet.update_xaxes(tickvals=x)
    sheet.update_yaxes(
        title={"text": QUANTITIES["share"].title},
        tickformat=".0%",
        range=_range(list(heights.values()), bool(run.phases)),
    )
    ends = [axis_of(one, view.x).positions[[0, -1]] for one in beside if len(one)]
    if ends and view.window is None and len(run):
        low, high = np.min(ends), np.max(ends)
        sheet.update_xaxes(range=[float(min(low, x[0])), float(max(high, x[-1]))])
    return sheet if len(run) else note(sheet, view.theme, NO_STEPS)


def _edges(run: Run, view: View, rows: int) -> NDArray[np.intp]:
    """Returns [n + 1] the first row of each bar, and the end. A new phase begins a new bar."""
    bars = -(-rows // view.smooth) if view.smooth else max(rows // STEPS, min(rows, FEWEST))
    return edges_of(run.steps[:rows], max(1, min(BARS, bars)), run.phases)


def _mean_shares(shares: dict[str, Floats], edges: NDArray[np.intp]) -> dict[str, Floats]:
    """Returns the mean share in each bar: name -> [n].

    Steps without any share are left out. In the other steps an absent group has share 0.

    Args:
        shares: Name -> [T] shares.
        edges: [n + 1] first rows of the bars, and the end.
    """
    if len(edges) < 2:
        return {name: np.empty(0) for name in shares}
    if all(math.isfinite(values.sum()) for values in shares.values()):  # the usual case: every group is in every step
        return {name: np.add.reduceat(values, edges[:-1]) / np.diff(edges) for name, values in shares.items()}
    present = {name: np.isfinite(values) for name, values in shares.items()}
    steps = np.add.reduceat(np.logical_or.reduce(list(present.values())).astype(np.float64), edges[:-1])
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            name: np.add.reduceat(np.where(present[name], values, 0.0), edges[:-1]) / steps
            for name, values in shares.items()
        }


def _range(curves: Sequence[Floats], headroom: bool) -> tuple[float, float]:
    """Returns (lowest, highest) of a vertical axis for the stacked bars; bars that are outliers may reach beyond it."""
    heights = np.array(curves)  # [K, n]
    if not heights.size or not np.isfinite(heights).any():
        return (0.0, 1.0)
    below, above = np.nansum(np.minimum(heights, 0), 0), np.nansum(np.maximum(heights, 0), 0)
    # In a step where the groups' gradients almost cancel the shares are huge. The range ignores such single steps.
    low, high = min(0.0, float(np.quantile(below, 0.01))), max(1.0, float(np.quantile(above, 0.99)))
    return (1.03 * low, high + (0.1 if headroom else 0.01) * (high - low))


@drawing
def measured_shares(measurement: Measurement, *, theme: str = "light") -> Sheet:
    """Draws each group's share of the update in one measured step, beside its share of the samples.

    Args:
        measurement: The measured step.
        theme: "light" or "dark".

    Raises:
        FigureError: The theme is unknown.
    """
    colors = theme_of(theme)
    names = measurement.groups
    total = float(measurement.counts.sum())
    sheet = Sheet()
    for what, values, color in (
        ("share of the samples", measurement.counts / total if total else np.zeros(len(names)), colors.muted),
        ("share of the update", np.array([measurement.share(name) for name in names]), colors.accent),
    ):
        sheet.add_trace(
            bar(
                x=[safe(name) for name in names], y=values, name=what, marker={"color": color}, hovertemplate="%{y:.1%}"
            )
        )
    dress(sheet, colors, "Whose update is it? Share of each group", f"step {measurement.step:,}")
    sheet.update_layout(barmode="group")
    sheet.update_xaxes(type="category")
    sheet.update_yaxes(tickformat=".0%")
    sheet.add_hline(0, line={"color": colors.muted, "width": 1})
    return sheet


@drawing
def group_classes(groups: ClassGroups, *, theme: str = "light") -> Sheet:
    """Draws the class ids of each group, with a bar for each unbroken range of ids.

    Args:
        groups: The groups.
        theme: "light" or "dark".

    Raises:
        FigureError: An unknown theme.
    """
    colors = theme_of(theme)
    styles, units = styles_of("group", groups.names, colors), safe(groups.units)
    sheet = Sheet()
    for name, ids in zip(groups.names, groups.classes, strict=True):
        spans = ranges(ids)
        sheet.add_trace(
            bar(
                orientation="h", y=[safe(name)] * len(spans), base=[first - 0.5 for first, _ in spans],
                x=[last - first + 1 for first, last in spans], width=0.6, marker={"color": styles[name].color},
                text=[f"{first}-{last}" if last > first else str(first) for first, last in spans], textposition="none",
                hovertemplate=f"{units} %{{text}}<extra></extra>",
            )
        )  # fmt: skip
    text = f"{groups.num_classes:,} {units}; {safe(groups.rule)}"
    dress(sheet, colors, f"Which {units} has each group?", text, height=150 + 36 * len(groups))
    sheet.update_layout(barmode="overlay", showlegend=False, hovermode="closest")
    few = {"dtick": 1} if groups.num_classes <= FEW_CLASSES else {}
    sheet.update_xaxes(
        title={"text": "class id" if groups.members is None else "id"}, range=[-0.5, groups.num_classes - 0.5], **few
    )
    sheet.update_yaxes(type="category", autorange="reversed", automargin=True, showgrid=False)
    return sheet


@drawing
def class_shares(probe: Probe, *, theme: str = "light") -> Sheet:
    """Draws each class's share of the gradient on the whole data against its number of samples (logarithmic axis).

    Args:
        probe: A whole-data measurement.
        theme: "light" or "dark".

    Raises:
        FigureError: An unknown theme.
    """
    colors = theme_of(theme)
    names = [name for name in probe.groups.names if name in probe.names]
    contributing = len(probe.names) - ("update" in probe.names)
    values = [float(share(probe.gram, probe.names.index(name), contributing)) for name in names]
    counts = probe.counts[[probe.groups.names.index(name) for name in names]]
    fair = 1 / max(len(names), 1)
    sheet = Sheet()
    sheet.add_trace(
        scatter(
            x=counts, y=values, mode="markers+text" if len(names) <= 20 else "markers", textposition="top center",
            text=[safe(name) if alone else "" for name, alone in zip(names, _readable(counts, values), strict=True)],
            hovertext=[safe(name) for name in names],
            marker={"color": colors.muted, "size": 9, "opacity": 0.8, "line": {"width": 1, "color": colors.paper}},
            hovertemplate="%{hovertext}<br>%{x:,.0f} samples<br>share %{y:.2%}<extra></extra>",
        )
    )  # fmt: skip
    text = subtitle(probe_text(probe), f"dashed: equal shares, {fair:.1%} each")
    dress(sheet, colors, f"Do frequent {safe(probe.groups.units)} own the update?", text)
    sheet.add_hline(fair, line={"color": colors.muted, "width": 1.5, "dash": "dash"})
    sheet.update_xaxes(title={"text": f"samples of the {safe(probe.groups.members or 'class')}"}, **counts_axis(counts))
    sheet.update_yaxes(title={"text": "share of the gradient"}, tickformat=".1~%")
    sheet.update_layout(hovermode="closest", showlegend=False)
    return sheet


def _readable(counts: Floats, values: Sequence[float]) -> list[bool]:
    """Returns for each point whether its name is written: only if it is not too close to a name that is written already.

    Args:
        counts: [K] numbers of samples.
        values: [K] shares.
    """
    with np.errstate(divide="ignore"):
        places = np.stack([np.log10(counts), np.asarray(values)], axis=1)  # [K, 2]
    finite = np.isfinite(places).all(axis=1)
    spread = np.ptp(places[finite], axis=0) if finite.any() else np.ones(2)
    near = np.maximum(spread, 1e-9) * (0.025, 0.06)
    written: list[int] = []
    for k in np.flatnonzero(finite):
        if not any((np.abs(places[k] - places[other]) < near).all() for other in written):
            written.append(int(k))
    return [k in written for k in range(len(values))]
