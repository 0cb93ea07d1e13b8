"""Curves over training for the quantities of the catalogue that have no figure of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from gradlens.figures._curves import MOST_LINES, over_training
from gradlens.figures._describe import groups_text, subtitle
from gradlens.figures._heat import group_heat
from gradlens.figures._lines import Line, Options, View
from gradlens.figures._names import styles_of
from gradlens.figures._sheet import Sheet, drawing
from gradlens.figures._theme import FigureError
from gradlens.metrics.catalogue import Quantity, Unit, of_groups

if TYPE_CHECKING:
    from gradlens.runlog import Run

# These quantities have figures of their own: ``shares``, ``cosines`` and ``norms``.
OWN_FIGURE = ("share", "cosine", "norm", "mean_norm")


def other_quantities() -> list[Quantity]:
    """Returns the quantities of a group's gradient that no other figure draws."""
    return [quantity for quantity in of_groups("gradient") if quantity.name not in OWN_FIGURE]


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
