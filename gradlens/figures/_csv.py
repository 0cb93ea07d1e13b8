"""The data of a figure as a CSV table."""

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
    """Returns the data of a figure as CSV, one row for each point, with the columns panel, series, x, y and value.

    Panels are counted row by row. In heat maps x and y are where a cell begins, and value is the number that it shows.
    For a running mean y is the mean, and value is the number of the single step. For other points value is empty. An
    absent number is empty.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("panel", "series", "x", "y", "value"))
    panels = _panels(figure)
    for trace in figure.data:
        if trace.hoverinfo == "skip":  # a faint line: its numbers are in the rows of the running mean
            continue
        panel = panels.get(trace.xaxis or "x", 1)
        if trace.type == "heatmap":
            writer.writerows(_cells(trace, panel))
            continue
        steps = trace.customdata if _single(trace.customdata, trace.x) else [None] * len(trace.x)
        names = trace.text if trace.hovertext is None else trace.hovertext  # text may omit names, hovertext has all
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
    # x and y may be the borders of cells: one more than there are cells.
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
