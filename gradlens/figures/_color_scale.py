"""What the colours of a heat map mean: their range, their bar, and the cells that have none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlens.figures._scale import log_bounds, log_ticks
from gradlens.figures._sheet import Sheet, heatmap, scatter
from gradlens.figures._theme import Theme
from gradlens.metrics.catalogue import COSINE, Quantity, Unit
from gradlens.metrics.gram import Floats

# Where colours of numbers between -1 and 1 may end: a live figure seldom changes from one to the next.
ENDS = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
# What tells the CSV that the cells' numbers stand beside them.
LOGARITHMS = "log10"


@dataclass(frozen=True)
class ColorScale:
    """How cells are coloured.

    Attributes:
        z: What the colours stand for.
        settings: What a heat map of plotly needs for it.
        bar: What its colour bar needs.
        log: Whether z are logarithms.
    """

    z: Floats
    settings: dict[str, Any]
    bar: dict[str, Any] = field(default_factory=dict)
    log: bool = False


def color_scale(cells: Floats, quantity: Quantity, theme: Theme, *, log: bool = False) -> ColorScale:
    """Returns the colours of cells of a quantity; only norms can be logarithmic."""
    known = cells[np.isfinite(cells)]
    if quantity.range[0] < 0:
        end = float(np.quantile(np.abs(known), 0.98)) if len(known) else 1.0
        bound = round_up(end) if quantity.range == COSINE else max(end, 0.1)
        return ColorScale(cells, {"zmin": -bound, "zmax": bound, "colorscale": theme.diverging()})
    bounds = log_bounds([known]) if log and quantity.unit is Unit.GRADIENT else None
    if bounds is None:
        top = float(np.quantile(known, 0.99)) if len(known) else 1.0
        return ColorScale(cells, {"zmin": 0, "zmax": top or 1.0, "colorscale": theme.sequential()})
    low, high = bounds
    places, texts = log_ticks(low, max(high, low * 1.01))
    # A norm of 0 has no logarithm; it has the lowest colour, and its number in the tooltip.
    z = np.log10(np.where(cells > 0, cells, np.where(np.isnan(cells), np.nan, low)))
    settings = {"zmin": np.log10(low), "zmax": np.log10(max(high, low * 1.01)), "colorscale": theme.sequential()}
    return ColorScale(z, {**settings, "meta": LOGARITHMS}, {"tickvals": places, "ticktext": texts}, log=True)


def round_up(end: float) -> float:
    """Returns where colours end that have to reach a number between 0 and 1."""
    return next((known for known in ENDS if known >= end), 1.0)


def color_bar(title: str, theme: Theme, **more: Any) -> dict[str, Any]:
    """Returns the colour bar of a heat map."""
    return {
        "title": {"text": title, "side": "top", "font": {"size": 13}}, "thickness": 12, "outlinewidth": 0, "len": 0.95,
        "tickcolor": theme.muted, **more,
    }  # fmt: skip


def add_missing(
    sheet: Sheet, cells: Floats, x: NDArray[Any], y: NDArray[Any], theme: Theme, why: str, gap: int = 0
) -> str:
    """Colours the cells without a value, which would else look like zeros, and says in the legend and in a text what they are.

    Args:
        sheet: Holds the heat map already.
        cells: [rows, columns], NaN = missing.
        x: Places of the columns, or their borders.
        y: Places of the rows.
        theme: Colours.
        why: What they are.
        gap: Pixels between cells.

    Returns:
        The text, "" where no cell is missing.
    """
    missing = np.isnan(cells)
    if not missing.any():
        return ""
    sheet.add_trace(
        heatmap(
            z=np.where(missing, np.float32(0), np.float32(np.nan)), x=x, y=y, showscale=False, hoverinfo="skip",
            colorscale=[[0, theme.missing], [1, theme.missing]], zmin=0, zmax=1, xgap=gap, ygap=gap,
        )
    )  # fmt: skip
    marker = {"symbol": "square", "size": 11, "color": theme.missing}
    sheet.add_trace(
        scatter(x=[None], y=[None], mode="markers", marker=marker, name=why, showlegend=True, hoverinfo="skip")
    )
    return f"grey: {why}"
