"""One figure for several runs: a quantity of a group, or the accuracies of their evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

from gradlens.analysis.quantities import series_of
from gradlens.figures._axis import axis_of, horizontal
from gradlens.figures._common_window import common_range, common_text, common_views
from gradlens.figures._describe import run_keys, run_text, subtitle
from gradlens.figures._lines import Line, Options, View, add_lines, apart
from gradlens.figures._names import run_style
from gradlens.figures._quantities import quantity_of_a_group
from gradlens.figures._scale import log_norms
from gradlens.figures._sheet import Sheet, drawing, scatter
from gradlens.figures._theme import FigureError, dress, legend_of, note, safe
from gradlens.metrics.catalogue import Unit

if TYPE_CHECKING:
    from gradlens.runlog import Run


@drawing
def overlay(runs: Sequence[Run], quantity: str, group: str, *, log: bool = False, **options: Unpack[Options]) -> Sheet:
    """Draws a quantity of one group in several runs. All runs are averaged over the same number of optimizer steps.

    Args:
        runs: One or more runs. Each has the group.
        quantity: A quantity of ``gradlens.metrics.catalogue`` that groups have.
        group: The group.
        log: Logarithmic axis. It has an effect on norms only, since other quantities may be zero or less.
        **options: See ``Options``.

    Raises:
        FigureError: There is no run, the quantity is unknown, or a run does not have the group or the axis.
    """
    view = View.of(options)
    if not runs:
        raise FigureError("no run to draw; give at least one")
    drawn = quantity_of_a_group(quantity)
    for run in runs:
        if group not in run.groups.names:
            raise FigureError(f"run {run.name!r} has no group {group!r}; it has {', '.join(run.groups.names)}")
    form = ".1%" if drawn.percent else ".3~g"
    lines = [
        line
        for run, key in zip(runs, run_keys(runs), strict=True)
        for line in apart(
            run, [Line(run.name, series_of(run, drawn, group), run_style(run, view.theme), format=form, key=key)]
        )
    ]
    axes = [axis_of(run, view.x) for run in runs]
    sheet = Sheet()
    views = common_views(view, runs)
    for axis, line, own in zip(axes, lines, views, strict=True):
        add_lines(sheet, axis, [line], own, legend=True)
    classes = {run.groups.classes[run.groups.names.index(group)] for run in runs}
    differ = f"{safe(group)} has other classes in some of the runs" if len(classes) > 1 else ""
    about = subtitle(f"{len(runs)} runs" if len(runs) > 1 else run_text(runs[0]), common_text(view, runs), differ)
    dress(sheet, view.theme, f"{safe(group)}: {drawn.title}", about)
    sheet.update_layout(**legend_of(len(runs)))
    sheet.update_xaxes(**horizontal(*axes))
    percent: dict[str, Any] = {"tickformat": ".0%"} if drawn.percent else {}
    sheet.update_yaxes(title={"text": drawn.title}, range=common_range(lines, views), **percent)
    if log and drawn.unit is Unit.GRADIENT:
        sheet.update_yaxes(**log_norms(lines))
    return sheet if any(map(len, runs)) else note(sheet, view.theme, "No measured steps.")


@drawing
def evaluations(runs: Sequence[Run], **options: Unpack[Options]) -> Sheet:
    """Draws the accuracies from the evaluations of several runs, a line for each run.

    There is a panel for many-, medium- and few-shot classes (or else for each group), and one for the overall accuracy.

    Args:
        runs: One or more runs.
        **options: See ``Options``; ``smooth`` has no effect here.

    Raises:
        FigureError: There is no run, or a run does not have the axis.
    """
    view = View.of(options)
    if not runs:
        raise FigureError("no run to draw; give at least one")
    title = "Who is classified correctly on data not trained on? Accuracy"
    names = evaluated_names(runs)
    if not names:
        about = subtitle(*(run_text(run) for run in runs))
        return note(dress(Sheet(), view.theme, title, about), view.theme, "None of these runs was evaluated.")
    sheet = Sheet(
        1, len(names), shared_yaxes=True, horizontal_spacing=0.025,
        subplot_titles=[f"<b>{safe(name)}</b>" for name in names],
    )  # fmt: skip
    axes = [axis_of(run, view.x) for run in runs]
    for run, axis, key in zip(runs, axes, run_keys(runs), strict=True):
        style = run_style(run, view.theme)
        for col, name in enumerate(names, start=1):
            points = [(e["step"], float(e[name])) for e in run.evaluations if _is_number(e.get(name))]
            sheet.add_trace(
                scatter(
                    x=axis.of_steps(run, [step for step, _ in points]), y=[value for _, value in points], name=safe(run.name),
                    legendgroup=safe(key), showlegend=col == 1, hovertemplate="%{y:.1f}%", line=style.line, **style.points(4),
                ), row=1, col=col,
            )  # fmt: skip
    dress(sheet, view.theme, title, subtitle(*(run_text(run) for run in runs)), panel_titles=True)
    sheet.update_layout(showlegend=True)
    sheet.update_xaxes(**horizontal(*axes))
    sheet.update_yaxes(range=[0, 101], ticksuffix="%", dtick=20)
    return sheet


def evaluated_names(runs: Sequence[Run]) -> list[str]:
    """Returns the names of the accuracies that the evaluations have, in the order of the panels.

    These are "many", "medium" and "few", or else at most 6 groups of the first run; then "overall".
    """
    known = {name for run in runs for e in run.evaluations for name, value in e.items() if _is_number(value)}
    shots = [name for name in ("many", "medium", "few") if name in known]
    groups = [name for name in runs[0].groups.names if name in known][:6]
    return (shots or groups) + (["overall"] if "overall" in known else [])


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
