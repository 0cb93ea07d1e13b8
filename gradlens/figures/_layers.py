"""Curves of one layer over training: cosines and norms of the groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from gradlens.figures._axis import add_events, axis_of, horizontal
from gradlens.figures._curves import MOST_LINES
from gradlens.figures._describe import run_text, some_groups, some_groups_text, subtitle
from gradlens.figures._lines import Line, Options, View, add_lines, apart, robust_range, smoothing_text
from gradlens.figures._names import styles_of, whole_style
from gradlens.figures._scale import log_norms
from gradlens.figures._sheet import Sheet, drawing
from gradlens.figures._theme import FigureError, dress, safe

if TYPE_CHECKING:
    from gradlens.runlog import Run


@drawing
def layer_curves(run: Run, layer: str, *, log: bool = False, **options: Unpack[Options]) -> Sheet:
    """Draws each group's cosine with the gradient of a layer, and the norm of its contribution to it.

    Of more than 8 groups it draws 8.

    Args:
        run: The run.
        layer: A name from ``run.layers``.
        log: Logarithmic axis for the norms.
        **options: See ``Options``.

    Raises:
        FigureError: The run does not have the layer or the axis.
    """
    view = View.of(options)
    if layer not in run.layers:
        raise FigureError(f"run {run.name!r} has no layer {layer!r}; it has {', '.join(run.layers) or 'none'}")
    names = some_groups(run.groups, MOST_LINES)
    styles = styles_of("group", names, view.theme)
    axis = axis_of(run, view.x)
    cosines = [Line(name, run.cosine(name, layer), styles[name], format=".3f") for name in names]
    norms = [Line(name, run.norm(name, layer=layer), styles[name]) for name in names]
    norms.append(Line("overall", run.norm("all", layer=layer), whole_style(view.theme)))
    cosines, norms = apart(run, cosines), apart(run, norms)
    sheet = Sheet(
        1, 2, horizontal_spacing=0.07,
        subplot_titles=["<b>cosine with the layer's gradient</b>", "<b>norm of the contribution to it</b>"],
    )  # fmt: skip
    add_lines(sheet, axis, cosines, view, col=1, legend=False)
    add_lines(sheet, axis, norms, view, col=2)
    text = subtitle(run_text(run), some_groups_text(run.groups, MOST_LINES), smoothing_text(view, run))
    dress(sheet, view.theme, f"Layer {safe(layer)}", text, panel_titles=True)
    add_events(sheet, run, axis, view.theme, [(1, 1), (1, 2)])
    sheet.add_hline(0, line={"color": view.theme.muted, "width": 1}, layer="below", row=1, col=1)
    sheet.update_xaxes(**horizontal(axis))
    headroom = bool(run.phases)
    sheet.update_yaxes(title={"text": "cosine"}, range=robust_range(cosines, view, headroom=headroom), col=1)
    sheet.update_yaxes(title={"text": "norm"}, range=robust_range(norms, view, headroom=headroom), col=2)
    if log:
        sheet.update_yaxes(**log_norms(norms, headroom=headroom), col=2)
    return sheet
