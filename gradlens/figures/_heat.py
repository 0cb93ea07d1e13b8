"""Heat maps over training: one row for each layer, or for each group where there are too many groups for lines."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Unpack

import numpy as np
from numpy.typing import NDArray

from gradlens.analysis.quantities import series_of
from gradlens.figures._axis import Axis, add_events, axis_of, horizontal
from gradlens.figures._bins import binned, edge_positions, edges_of, phase_rows, running
from gradlens.figures._color_scale import add_missing, color_bar, color_scale
from gradlens.figures._describe import NORMS, PERS, run_text, subtitle
from gradlens.figures._lines import Options, View
from gradlens.figures._sheet import Sheet, drawing, heatmap
from gradlens.figures._theme import FigureError, Theme, dress, note, safe
from gradlens.metrics.catalogue import Quantity, of_vectors
from gradlens.metrics.gram import Floats

if TYPE_CHECKING:
    from gradlens.runlog import Run

BINS = 160
# A heat map of layers reads at most this many rows. More would not change its cells visibly.
SAMPLED = 8000


@drawing
def layer_heatmap(
    run: Run, name: str | None = None, quantity: str = "cosine", *, log: bool = False, **options: Unpack[Options]
) -> Sheet:
    """Draws a quantity of one group in each layer over training, with the first layer on top.

    Args:
        run: The run.
        name: A group, or another measured vector. The default is the last group, the tail.
        quantity: "share", "cosine", "norm", or another quantity of the catalogue that every vector has.
        log: Logarithmic colours. They have an effect on norms only.
        **options: See ``Options``. Here the default of ``smooth`` is 1: a cell is the mean of its own steps only.

    Raises:
        FigureError: The quantity or the group is unknown, or the run does not have the axis.
    """
    view = View.of(options)
    name = run.groups.names[-1] if name is None else name
    known = {one.name: one for one in of_vectors()}
    if quantity not in known:
        raise FigureError(f"quantity={quantity!r}; choose one of {', '.join(known)}")
    title = f"In which layers does {safe(name)} have an effect?"
    about = subtitle(run_text(run), f"{safe(name)}: {known[quantity].title}, layer by layer", "first layer on top")
    layers = run.layers
    if not layers or not len(run):
        text = (
            "The layers were not measured in this run (--layers or layers=True measures them)."
            if not layers
            else "No measured steps."
        )
        return note(dress(Sheet(), view.theme, title, about), view.theme, text)
    rows = run.sample(SAMPLED)
    try:
        values = run.by_layer(quantity, name, rows)  # [n, L]
    except KeyError as error:
        raise FigureError(
            f"run {run.name!r} has no vector {name!r}; choose one of {', '.join(run.groups.names)}"
        ) from error
    axis = axis_of(run, view.x)
    window = view.smooth or 1
    sampled = Axis(axis.positions[rows], axis.title, axis.unit)
    edges = edges_of(run.steps[rows], BINS, run.phases)
    starts = phase_rows(run.steps[rows], run.phases)
    smooth = [running(column, max(1, round(window * len(rows) / len(run))), starts) for column in values.T]
    cells = np.stack([binned(column, edges) for column in smooth])  # [L, bins]
    labels = [_tail(layer) for layer in layers]
    height = int(np.clip(150 + 16 * len(layers), 320, 1100))
    sheet, told = _over_time(cells, edges, labels, known[quantity], sampled, view.theme, log=log)
    about = subtitle(about, _averaged(len(run), cells, window), told)
    return _dressed(sheet, run, axis, view.theme, title, about, height)


def group_heat(run: Run, quantity: Quantity, title: str, view: View, *, log: bool = False) -> Sheet:
    """Draws a quantity of many groups over training, with a row for each group.

    A group without samples in a step has share 0 there, so that the shares of a step add up to 1. If it has no sample in any
    step of a cell, the cell is empty.

    Args:
        run: The run.
        quantity: The quantity.
        title: Title of the figure.
        view: How it is drawn. Here the default of ``smooth`` is 1: a cell is the mean of its own steps only.
        log: Logarithmic colours. They have an effect on norms only.
    """
    per = {number: per for per, number in NORMS.items()}.get(quantity.name)
    what = f"norm of each group's {PERS[per]}" if per else ""
    about = subtitle(run_text(run), what, f"{len(run.groups)} groups", "first group on top")
    if not len(run):
        return note(dress(Sheet(), view.theme, title, about), view.theme, "No measured steps.")
    axis = axis_of(run, view.x)
    rows = len(axis.positions)
    edges = edges_of(run.steps[:rows], BINS, run.phases)
    starts = phase_rows(run.steps[:rows], run.phases)
    window = view.smooth or 1

    def cells_of(values: Floats) -> Floats:
        return binned(running(values[:rows], window, starts), edges)

    def row_of(name: str) -> Floats:
        cells = cells_of(run.quantity(quantity.name, name))
        if math.isnan(quantity.absent):
            return cells
        return np.where(np.isfinite(cells), cells_of(series_of(run, quantity, name)), np.nan)

    cells = np.stack([row_of(name) for name in run.groups.names])  # [K, bins]
    labels = [safe(name) for name in run.groups.names]
    sheet, told = _over_time(cells, edges, labels, quantity, axis, view.theme, log=log)
    height = int(np.clip(150 + 14 * len(run.groups), 320, 1100))
    return _dressed(sheet, run, axis, view.theme, title, subtitle(about, _averaged(rows, cells, window), told), height)


def _averaged(rows: int, cells: Floats, window: int) -> str:
    """Returns a text for the subtitle: how many measured steps the means are taken over; "" if there are no means."""
    each = round(rows / max(cells.shape[1], 1))
    return subtitle(
        f"mean of {window:,} measured steps" if window > 1 else "",
        f"each cell about {each:,} measured steps" if each > 1 else "",
    )


def _over_time(
    cells: Floats,
    edges: NDArray[np.intp],
    labels: list[str],
    quantity: Quantity,
    axis: Axis,
    theme: Theme,
    *,
    log: bool,
) -> tuple[Sheet, str]:
    """Returns the heat map of cells [rows, columns], and a text that explains its grey cells ("" if there are none)."""
    scale = color_scale(cells, quantity, theme, log=log)
    x, y = edge_positions(axis.positions, edges), np.arange(len(labels))
    names = np.repeat(np.array(labels, dtype=object)[:, None], cells.shape[1], axis=1)
    number = "%{customdata[1]:.3~g}" if scale.log else "%{z:.3f}"
    word = quantity.name.replace("_", " ")
    name = "%{customdata[0]}" if scale.log else "%{customdata}"
    sheet = Sheet()
    sheet.add_trace(
        heatmap(
            z=scale.z.astype(np.float32), x=x, y=y, **scale.settings, hoverongaps=False,
            customdata=(np.stack([names, cells.astype(object)], axis=-1) if scale.log else names).tolist(),
            hovertemplate=f"{name}<br>{axis.unit} %{{x:.4~g}}<br>{word} {number}<extra></extra>",
            colorbar=color_bar(word, theme, **scale.bar),
        )
    )  # fmt: skip
    told = add_missing(sheet, cells, x, y, theme, "no sample, or no finite gradient")
    shown = np.unique(np.linspace(0, len(labels) - 1, min(len(labels), 68)).round().astype(int))
    sheet.update_yaxes(
        autorange="reversed", tickvals=shown, ticktext=[labels[i] for i in shown],
        tickfont={"size": 11 if len(labels) <= 48 else 10}, ticklabelstep=1, automargin=True,
    )  # fmt: skip
    return sheet, told


def _dressed(sheet: Sheet, run: Run, axis: Axis, theme: Theme, title: str, about: str, height: int) -> Sheet:
    dress(sheet, theme, title, about, height=height)
    add_events(sheet, run, axis, theme, [(1, 1)], above=True)
    sheet.update_xaxes(**horizontal(axis))
    sheet.update_yaxes(showgrid=False)
    sheet.update_layout(hovermode="closest")
    return sheet


def _tail(layer: str, most: int = 34) -> str:
    """Shortens a layer's name at its front, since its end tells the layers apart."""
    return safe(layer if len(layer) <= most else "…" + layer[1 - most :])
