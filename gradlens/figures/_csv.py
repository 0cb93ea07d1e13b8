"""The numbers of a figure as a table that any program reads."""

from __future__ import annotations

import csv
import html
import io
import math
from typing import Any

import numpy as np
import plotly.graph_objects as go

from gradlens.figures._color_scale import LOGARITHMS


def figure_csv(figure: go.Figure) -> str:
    """Returns the figure's data as CSV, one point a row: panel, series, x, y, value.

    Panels are counted row by row. In heat maps x and y say where a cell begins and value what it shows. Where a line is a running
    mean, value is the single step's number behind it. Other points have no value; what is absent is empty.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("panel", "series", "x", "y", "value"))
    panels = _panels(figure)
    for trace in figure.data:
        if trace.hoverinfo == "skip":  # the faint line below a running mean shows what the mean's rows say anyway
            continue
        panel = panels.get(trace.xaxis or "x", 1)
        if trace.type == "heatmap":
            writer.writerows(_cells(trace, panel))
            continue
        steps = trace.customdata if _single(trace.customdata, trace.x) else [None] * len(trace.x)
        names = trace.text if trace.hovertext is None else trace.hovertext  # not every point is named in the picture
        texts = names if isinstance(names, (list, tuple, np.ndarray)) else None
        for index, (x, y, value) in enumerate(zip(trace.x, trace.y, steps, strict=True)):
            series = _plain(texts[index] if texts is not None else trace.name)
            writer.writerow((panel, series, _cell(x), _cell(y), _cell(value)))
    return out.getvalue()


def _cells(trace: Any, panel: int) -> list[tuple[Any, ...]]:
    z = np.asarray(trace.z)
    if trace.meta == LOGARITHMS:
        z = np.array([[cell[1] for cell in row] for row in trace.customdata], dtype=np.float64)
    x, y = np.asarray(trace.x), np.asarray(trace.y)
    # Cells may be given by their borders.
    left, top = (places[: z.shape[1 - i]] for i, places in enumerate((x, y)))
    rows = []
    for i in range(z.shape[0]):
        label = trace.customdata[i][0] if trace.customdata is not None else y[i]
        name = _plain(label if isinstance(label, str) else label[0])
        rows += [(panel, name, _cell(left[j]), _cell(top[i]), _cell(z[i, j])) for j in range(z.shape[1])]
    return rows


def _panels(figure: go.Figure) -> dict[str, int]:
    axes = [trace.xaxis or "x" for trace in figure.data]
    return {axis: index for index, axis in enumerate(dict.fromkeys(axes), start=1)}


def _single(customdata: Any, x: Any) -> bool:
    return customdata is not None and np.ndim(customdata) == 1 and len(customdata) == len(x)


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, (float, np.floating)) and not math.isfinite(value)):
        return ""
    return f"{value:.7g}" if isinstance(value, (float, np.floating)) else value


def _plain(text: Any) -> str:
    return html.unescape(str(text)) if text is not None else ""
