"""Curves over training for what has no figure of its own: quantities of the catalogue, and what the training logged itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from gradlens.figures._axis import add_events, axis_of, horizontal
from gradlens.figures._curves import MOST_LINES, over_training
from gradlens.figures._describe import groups_text, run_text, subtitle
from gradlens.figures._downsample import visible
from gradlens.figures._heat import group_heat
from gradlens.figures._lines import Line, Options, View, compact
from gradlens.figures._names import Style, styles_of
from gradlens.figures._sheet import Sheet, drawing, scatter
from gradlens.figures._theme import FigureError, dress, note, safe
from gradlens.metrics.catalogue import Quantity, Unit, of_groups

if TYPE_CHECKING:
    from gradlens.runlog import Run

# These quantities have figures of their own: ``shares``, ``cosines`` and ``norms``.
OWN_FIGURE = ("share", "cosine", "norm", "mean_norm")
# Panels of the figure of logged values, beside each other and in all.
BESIDE, MOST_LOGGED = 2, 12
# Height in pixels of a row of panels, and of what stands around the rows.
ROW, AROUND = 190, 190
# A line with at most so many values has a symbol on each.
FEW = 100


def other_quantities(run: Run) -> list[Quantity]:
    """Returns the quantities of a group's gradient that no other figure draws, and that the run has."""
    return [quantity for quantity in of_groups("gradient", run.names) if quantity.name not in OWN_FIGURE]


def quantity_of_a_group(name: str) -> Quantity:
    """Returns the quantity of a name. It is one that each group has.

    Raises:
        FigureError: Groups have no quantity of that name.
    """
    known = {quantity.name: quantity for quantity in of_groups()}
    if name not in known:
        raise FigureError(f"quantity={name!r}; choose one of {', '.join(known)}")
    return known[name]


@drawing
def quantity_curves(run: Run, name: str, *, log: bool = False, **options: Unpack[Options]) -> Sheet:
    """Draws a quantity of each group over training; with more than 8 groups as a heat map.

    Args:
        run: The run.
        name: A quantity of ``gradlens.metrics.catalogue`` that groups have.
        log: Logarithmic axis. It has an effect on norms only, since other quantities may be zero or less.
        **options: See ``Options``.

    Raises:
        FigureError: The quantity is unknown, or the run does not have the axis.
    """
    view, quantity = View.of(options), quantity_of_a_group(name)
    title = f"{quantity.title[0].upper()}{quantity.title[1:]} of each group"
    log = log and quantity.unit is Unit.GRADIENT
    if len(run.groups) > MOST_LINES:
        return group_heat(run, quantity, title, view, log=log)
    styles = styles_of("group", run.groups.names, view.theme)
    form = ".1%" if quantity.percent else ".3~g"
    lines = [Line(group, run.quantity(name, group), styles[group], format=form) for group in run.groups.names]
    about = subtitle(quantity.definition, groups_text(run.groups))
    negative = quantity.range[0] < 0
    sheet = over_training(run, lines, view, title, quantity.title, about=about, zero_line=negative, log=log)
    if quantity.percent:
        sheet.update_yaxes(tickformat=".0%")
    return sheet


@drawing
def logged_curves(run: Run, **options: Unpack[Options]) -> Sheet:
    """Draws the numbers that the training logged itself (``gradlens.log``), a panel for each of the first 12 names.

    Args:
        run: The run.
        **options: See ``Options``; ``smooth`` has no effect here.

    Raises:
        FigureError: The theme is unknown, or the run does not have the axis.
    """
    view, names = View.of(options), run.logged_names[:MOST_LOGGED]
    title, more = "Logged by the training", len(run.logged_names) - len(names)
    about = subtitle(run_text(run), f"the first {len(names)} of {len(names) + more} names" if more else "")
    if not names:
        text = "Nothing: gradlens.log(name=value) and callbacks log numbers of the training."
        return note(dress(Sheet(), view.theme, title, about), view.theme, text)
    axis, beside = axis_of(run, view.x), min(BESIDE, len(names))
    rows = -(-len(names) // beside)
    sheet = Sheet(
        rows, beside, horizontal_spacing=0.08, vertical_spacing=min(0.24 / rows, 0.12),
        subplot_titles=[f"<b>{safe(name)}</b>" for name in names],
    )  # fmt: skip
    style, panels = Style(view.theme.colors[0]), []
    for place, name in enumerate(names):
        row, col = place // beside + 1, place % beside + 1
        panels.append((row, col))
        found = run.logged(name)
        x = axis.of_steps(run, found.steps.tolist())
        kept = visible(x, found.values, view.points, view.window)
        drawn = style.points(5) if len(kept) <= FEW else style.marked
        sheet.add_trace(
            scatter(
                x=compact(x[kept]), y=compact(found.values[kept]), name=safe(name), showlegend=False, line=style.line,
                hovertemplate="%{y:.5~g}", **drawn,
            ), row=row, col=col,
        )  # fmt: skip
    dress(sheet, view.theme, title, about, height=ROW * rows + AROUND, panel_titles=True)
    add_events(sheet, run, axis, view.theme, panels)
    sheet.update_xaxes(**{**horizontal(axis), "title": {"text": ""}})
    sheet.update_xaxes(row=rows, **horizontal(axis))
    if len(names) < rows * beside:
        sheet.update_xaxes(row=rows, col=beside, visible=False)
        sheet.update_yaxes(row=rows, col=beside, visible=False)
    return sheet
