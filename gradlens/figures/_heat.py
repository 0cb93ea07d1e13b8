"""Heat maps: layers over training, many groups over training, class against class."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import NDArray

from gradlens.figures._axis import Axis, add_events, axis_of
from gradlens.figures._bins import binned, edge_positions, edges_of
from gradlens.figures._describe import probe_text, run_text, subtitle
from gradlens.figures._lines import Options, View
from gradlens.figures._sheet import Sheet, drawing, heatmap
from gradlens.figures._theme import FigureError, Theme, dress, note, safe, theme_of
from gradlens.gram import REST, UPDATE, Floats

if TYPE_CHECKING:
    from gradlens.runlog import Probe, Run

BINS = 160
# Rows that are read for a layer heat map: more would change no cell visibly.
SAMPLED = 8000
QUANTITIES = {
    "cosine": "cosine with the overall gradient of the layer",
    "share": "share of the layer's update",
    "norm": "norm of the contribution",
}


@drawing
def layer_heatmap(run: Run, name: str | None = None, quantity: str = "cosine", **options: Unpack[Options]) -> Sheet:
    """Draws one group's cosine, share or norm in every layer over training, first layer on top.

    Args:
        run: The run.
        name: A group (or another vector); the last group, the tail, by default.
        quantity: "cosine", "share" or "norm".
        **options: See ``Options``; ``smooth`` has no meaning here.

    Raises:
        FigureError: Another quantity, an unknown group, or an axis that the run does not have.
    """
    view = View.of(options)
    name = run.groups.names[-1] if name is None else name
    if quantity not in QUANTITIES:
        raise FigureError(f"quantity={quantity!r}; choose one of {', '.join(QUANTITIES)}")
    title = f"Where in the network is {safe(name)} heard?"
    about = subtitle(run_text(run), f"{safe(name)}: {QUANTITIES[quantity]}", "first layer on top")
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
    height = int(np.clip(150 + 16 * len(layers), 320, 1100))
    sampled = Axis(axis.positions[rows], axis.title, axis.unit)
    edges = edges_of(run.steps[rows], BINS, run.phases)
    cells = binned(values, edges).T  # [L, bins]
    sheet = _over_time(cells, edges, [_tail(layer) for layer in layers], quantity, sampled, view.theme)
    return _dressed(sheet, run, axis, view.theme, title, subtitle(about, _gaps(cells)), height)


def group_heat(run: Run, quantity: str, title: str, view: View) -> Sheet:
    """Draws the cosine, share or norm of many groups over training, one row each."""
    about = subtitle(run_text(run), f"{len(run.groups)} groups", "first group on top")
    if not len(run):
        return note(dress(Sheet(), view.theme, title, about), view.theme, "No measured steps.")
    measures: dict[str, Callable[[str], Floats]] = {"cosine": run.cosine, "share": run.share, "norm": run.norm}
    measure = measures[quantity]
    values = np.stack([measure(name) for name in run.groups.names], axis=1)  # [T, K]
    axis = axis_of(run, view.x)
    edges = edges_of(run.steps[: len(values)], BINS, run.phases)
    cells = binned(values, edges).T  # [K, bins]
    sheet = _over_time(cells, edges, [safe(name) for name in run.groups.names], quantity, axis, view.theme)
    height = int(np.clip(150 + 14 * len(run.groups), 320, 1100))
    return _dressed(sheet, run, axis, view.theme, title, subtitle(about, _gaps(cells)), height)


def _gaps(cells: Floats) -> str:
    """Explains cells that are empty, which look much like a zero."""
    return "gaps: no sample of the group, or no finite gradient" if np.isnan(cells).any() else ""


@drawing
def class_cosines(probe: Probe, *, theme: str = "light") -> Sheet:
    """Draws the cosine between the gradients of every two groups of a probe (often: classes), most frequent first.

    Args:
        probe: A whole-data measurement.
        theme: "light" or "dark".

    Raises:
        FigureError: An unknown theme.
    """
    colors = theme_of(theme)
    order, cosine = frequency_order(probe)
    counts = probe.counts[[probe.groups.names.index(name) for name in order]]
    labels = [safe(name) for name in order]
    hover = [f"{label} ({count:,.0f} samples)" for label, count in zip(labels, counts, strict=True)]
    size = len(order)
    sheet = Sheet()
    sheet.add_trace(
        heatmap(
            z=cosine.astype(np.float32), x=np.arange(size), y=np.arange(size), zmin=-1, zmax=1, colorscale=colors.diverging(),
            customdata=np.stack(np.broadcast_arrays(np.array(hover)[:, None], np.array(hover)[None]), axis=-1).tolist(),
            hovertemplate="%{customdata[0]}<br>and %{customdata[1]}<br>cosine %{z:.3f}<extra></extra>",
            hoverongaps=False, colorbar=_bar("cosine", colors), xgap=1 if size <= 30 else 0, ygap=1 if size <= 30 else 0,
        )
    )  # fmt: skip
    dress(
        sheet, colors, "Which classes pull together? Cosine between their gradients",
        subtitle(probe_text(probe), "most frequent first", "blue: together, orange: against each other"), height=640,
    )  # fmt: skip
    shown = np.unique(np.linspace(0, size - 1, min(size, 25)).round().astype(int))
    ticks: dict[str, Any] = {
        "tickvals": shown,
        "ticktext": [labels[i] for i in shown],
        "showgrid": False,
        "automargin": True,
    }
    sheet.update_xaxes(**ticks, title={"text": "class, by number of samples"}, constrain="domain")
    sheet.update_yaxes(**ticks, autorange="reversed", scaleanchor="x", constrain="domain")
    sheet.update_layout(hovermode="closest")
    return sheet


def frequency_order(probe: Probe) -> tuple[list[str], Floats]:
    """Returns a probe's groups from most to fewest samples and their cosines [K, K] in that order; NaN = no sample."""
    names = [name for name in probe.names if name not in (REST, UPDATE) and name in probe.groups.names]
    counts = np.array([probe.counts[probe.groups.names.index(name)] for name in names])
    order = np.argsort(-counts, kind="stable")
    places = np.array([probe.names.index(names[i]) for i in order], dtype=np.intp)
    A = probe.gram[np.ix_(places, places)]
    root = np.sqrt(np.diagonal(A))
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.where(np.outer(root, root) > 0, A / np.outer(root, root), np.nan)
    return [names[i] for i in order], np.asarray(np.clip(cosine, -1, 1))


def _over_time(
    cells: Floats, edges: NDArray[np.intp], labels: list[str], quantity: str, axis: Axis, theme: Theme
) -> Sheet:
    scale: dict[str, Any] = {"zmin": -1, "zmax": 1, "colorscale": theme.diverging()}
    if quantity == "share":
        bound = float(np.nanquantile(np.abs(cells), 0.98)) if np.isfinite(cells).any() else 1.0
        scale |= {"zmin": -max(bound, 0.1), "zmax": max(bound, 0.1)}
    elif quantity == "norm":
        top = float(np.nanquantile(cells, 0.99)) if np.isfinite(cells).any() else 1.0
        scale = {"zmin": 0, "zmax": top or 1.0, "colorscale": theme.sequential()}
    sheet = Sheet()
    sheet.add_trace(
        heatmap(
            z=cells.astype(np.float32), x=edge_positions(axis.positions, edges), y=np.arange(len(labels)), **scale,
            customdata=np.repeat(np.array(labels)[:, None], cells.shape[1], axis=1).tolist(), hoverongaps=False,
            hovertemplate=f"%{{customdata}}<br>{axis.unit} %{{x:.4~g}}<br>{quantity} %{{z:.3f}}<extra></extra>",
            colorbar=_bar(quantity, theme),
        ), row=1, col=1,
    )  # fmt: skip
    shown = np.unique(np.linspace(0, len(labels) - 1, min(len(labels), 68)).round().astype(int))
    sheet.update_yaxes(
        autorange="reversed", tickvals=shown, ticktext=[labels[i] for i in shown],
        tickfont={"size": 11 if len(labels) <= 48 else 10}, ticklabelstep=1, automargin=True,
    )  # fmt: skip
    return sheet


def _dressed(sheet: Sheet, run: Run, axis: Axis, theme: Theme, title: str, about: str, height: int) -> Sheet:
    dress(sheet, theme, title, about, height=height)
    add_events(sheet, run, axis, theme, [(1, 1)], above=True)
    sheet.update_xaxes(title={"text": axis.title})
    sheet.update_yaxes(showgrid=False)
    sheet.update_layout(hovermode="closest")
    return sheet


def _bar(quantity: str, theme: Theme) -> dict[str, Any]:
    return {
        "title": {"text": quantity, "side": "top", "font": {"size": 13}}, "thickness": 12, "outlinewidth": 0, "len": 0.95,
        "tickcolor": theme.muted,
    }  # fmt: skip


def _tail(layer: str, most: int = 34) -> str:
    """Shortens a layer's name at the front: its end says which layer it is."""
    return safe(layer if len(layer) <= most else "…" + layer[1 - most :])
