"""The colours of a heat map: their range, the colour bar, and the grey of cells without a value."""

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

# The colours of cosines end at one of these numbers. With so few, the colours of a live figure seldom change.
ENDS = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
# This mark of a trace tells the CSV that z are logarithms and that the numbers themselves are in customdata.
LOGARITHMS = "log10"


@dataclass(frozen=True)
class ColorScale:
    """How the cells of a heat map are coloured.

    Attributes:
        z: [rows, columns] the numbers that the colours show.
        settings: Settings of plotly's heat map.
        bar: Settings of the colour bar.
        log: Whether z are logarithms.
    """

    z: Floats
    settings: dict[str, Any]
    bar: dict[str, Any] = field(default_factory=dict)
    log: bool = False


def color_scale(cells: Floats, quantity: Quantity, theme: Theme, *, log: bool = False) -> ColorScale:
    """Returns how the cells of a heat map are coloured.

    Args:
        cells: [rows, columns] values, NaN = missing.
        quantity: The quantity that the cells show.
        theme: Colours.
        log: Logarithmic colours. They have an effect on norms only.
    """
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
    # A norm of 0 has no logarithm. It gets the lowest colour; the tooltip shows 0.
    z = np.log10(np.where(cells > 0, cells, np.where(np.isnan(cells), np.nan, low)))
    settings = {"zmin": np.log10(low), "zmax": np.log10(max(high, low * 1.01)), "colorscale": theme.sequential()}
    return ColorScale(z, {**settings, "meta": LOGARITHMS}, {"tickvals": places, "ticktext": texts}, log=True)


def round_up(end: float) -> float:
    """Returns the first of ``ENDS`` that is not below ``end``."""
    return next((known for known in ENDS if known >= end), 1.0)


def color_bar(title: str, theme: Theme, **more: Any) -> dict[str, Any]:
    """Returns plotly's settings for the colour bar of a heat map."""
    return {
        "title": {"text": title, "side": "top", "font": {"size": 13}}, "thickness": 12, "outlinewidth": 0, "len": 0.95,
        "tickcolor": theme.muted, **more,
    }  # fmt: skip


def add_missing(
    sheet: Sheet, cells: Floats, x: NDArray[Any], y: NDArray[Any], theme: Theme, why: str, gap: int = 0
) -> str:
    """Colours the cells without a value grey, and explains them in the legend and in a text.

    Without the grey they would look like zeros.

    Args:
        sheet: The figure, which has the heat map already.
        cells: [rows, columns], NaN = missing.
        x: Positions of the columns, or of their borders.
        y: Positions of the rows.
        theme: Colours.
        why: Why a cell has no value.
        gap: Pixels between cells.

    Returns:
        The text; "" if no value is missing.
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
