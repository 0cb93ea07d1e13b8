"""A figure while it is drawn, as plain dictionaries: ``Sheet``. At the end it becomes a plotly figure, or JSON for plotly.js.

This is for speed. Plotly checks every change to a figure, which takes ten times as long. Making a plotly figure from the finished
dictionaries still takes as long as drawing them; a live page saves that time and uses the JSON.
"""

from __future__ import annotations

import base64
import functools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, ParamSpec

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

Trace = dict[str, Any]


def scatter(**settings: Any) -> Trace:
    """Returns a trace of points or a line."""
    return {"type": "scatter", **settings}


def bar(**settings: Any) -> Trace:
    """Returns a trace of bars."""
    return {"type": "bar", **settings}


def heatmap(**settings: Any) -> Trace:
    """Returns a trace of coloured cells."""
    return {"type": "heatmap", **settings}


# A line with at most this many single steps has a dot on each, since nothing is known between them.
DOTS = 24


def dots_on(drawn: Trace, window: int) -> list[Trace]:
    """Returns the dots on a line as a list of one trace, or an empty list if it needs none.

    A value between two gaps gets a dot, since one value makes no line. If single steps are drawn and they are few, each gets
    a dot. The dots are a trace of their own, so that the legend shows all lines alike.

    Args:
        drawn: The trace of the line.
        window: Measured steps in the running mean; 1 = single steps.
    """
    y = drawn["y"]
    there = np.isfinite(y)
    lonely = there & ~np.append(there[1:], False) & ~np.append(False, there[:-1])
    dotted = there if window == 1 and len(y) <= DOTS else lonely
    if not dotted.any():
        return []
    shared = {key: drawn[key] for key in ("legendgroup", "name")}
    marker = {"color": drawn["line"]["color"], "size": 5, "symbol": drawn.get("marker", {}).get("symbol", "circle")}
    x = drawn["x"][dotted]
    return [scatter(x=x, y=y[dotted], mode="markers", marker=marker, hoverinfo="skip", showlegend=False, **shared)]


P = ParamSpec("P")


class Drawing(Generic[P]):
    """A function that draws a figure. A call returns a plotly figure.

    Attributes:
        sheet: The same function, which returns a ``Sheet`` instead.
    """

    def __init__(self, sheet: Callable[P, Sheet]) -> None:
        self.sheet = sheet
        functools.update_wrapper(self, sheet)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> go.Figure:
        """Returns the figure."""
        return self.sheet(*args, **kwargs).figure()


def drawing(sheet: Callable[P, Sheet]) -> Drawing[P]:
    """Decorates a function that returns a ``Sheet``: the result returns a plotly figure."""
    return Drawing(sheet)


class Sheet:
    """Panels in rows and columns (counted from 1) with traces, shapes and texts.

    The methods have the names and meanings of plotly's. All panels share their horizontal axis. The panels of a row share their
    vertical axis if ``shared_yaxes`` is true.
    """

    def __init__(
        self,
        rows: int = 1,
        cols: int = 1,
        *,
        shared_yaxes: bool = False,
        horizontal_spacing: float = 0.0,
        vertical_spacing: float = 0.0,
        subplot_titles: Sequence[str] = (),
    ) -> None:
        self._rows, self._cols = rows, cols
        self._traces: list[Trace] = []
        self._layout: dict[str, Any] = {}
        self._annotations: list[dict[str, Any]] = []
        self._shapes: list[dict[str, Any]] = []
        width, height = (1 - (cols - 1) * horizontal_spacing) / cols, (1 - (rows - 1) * vertical_spacing) / rows
        lowest = _name("x", (rows - 1) * cols)
        for row, col in self._panels():
            x, y = self._axes(row, col)
            left, bottom = (col - 1) * (width + horizontal_spacing), (rows - row) * (height + vertical_spacing)
            horizontal: dict[str, Any] = {"anchor": y, "domain": [left, left + width]}
            vertical: dict[str, Any] = {"anchor": x, "domain": [bottom, bottom + height]}
            if rows * cols > 1 and x != lowest:
                horizontal["matches"] = lowest
            if row < rows:
                horizontal["showticklabels"] = False
            if shared_yaxes and col > 1:
                vertical |= {"matches": self._axes(row, 1)[1], "showticklabels": False}
            self._layout[_entry(x)], self._layout[_entry(y)] = horizontal, vertical
            place = (row - 1) * cols + col - 1
            if place < len(subplot_titles):
                self._annotations.append(
                    {
                        "text": subplot_titles[place], "x": left + width / 2, "y": bottom + height, "xref": "paper",
                        "yref": "paper", "xanchor": "center", "yanchor": "bottom", "showarrow": False, "font": {"size": 16},
                    }
                )  # fmt: skip

    def figure(self) -> go.Figure:
        """Returns a plotly figure. Plotly checks it."""
        return go.Figure({"data": self._traces, "layout": {"template": go.layout.Template(), **self._whole_layout()}})

    def json(self) -> str:
        """Returns the figure as JSON for plotly.js. It is not checked, and so much faster than the JSON of a plotly figure."""
        return json.dumps(_plain({"data": self._traces, "layout": self._whole_layout()}), allow_nan=False)

    def _whole_layout(self) -> dict[str, Any]:
        texts = {"annotations": self._annotations} if self._annotations else {}
        shapes = {"shapes": self._shapes} if self._shapes else {}
        return {**self._layout, **texts, **shapes}

    def add_trace(self, trace: Trace, row: int = 1, col: int = 1) -> None:
        """Adds a trace to a panel."""
        x, y = self._axes(row, col)
        self._traces.append({**trace, "xaxis": x, "yaxis": y})

    def add_shape(self, *, row: int, col: int, yref: str = "y", **settings: Any) -> None:
        """Adds a shape to a panel. With ``yref`` "y domain" its y go from 0 (bottom of the panel) to 1 (top)."""
        x, y = self._axes(row, col)
        self._shapes.append({**settings, "xref": x, "yref": yref.replace("y", y, 1)})

    def add_hline(self, y: float, *, row: int = 1, col: int = 1, **settings: Any) -> None:
        """Adds a horizontal line across a panel, at height ``y``."""
        x_name, y_name = self._axes(row, col)
        line = {"type": "line", "x0": 0, "x1": 1, "y0": y, "y1": y, "xref": f"{x_name} domain", "yref": y_name}
        self._shapes.append({**line, **settings})

    def add_annotation(self, *, row: int | None = None, col: int | None = None, **settings: Any) -> None:
        """Writes a text into a panel. Without row and column it stands where ``xref`` and ``yref`` say."""
        if row is not None and col is not None:
            x, y = self._axes(row, col)
            settings |= {"xref": x, "yref": str(settings.get("yref", "y")).replace("y", y, 1)}
        self._annotations.append(settings)

    def update_annotations(self, **settings: Any) -> None:
        """Changes the settings of all texts that were added before."""
        for annotation in self._annotations:
            _merge(annotation, settings)

    def update_layout(self, **settings: Any) -> None:
        """Changes settings of the layout."""
        _merge(self._layout, settings)

    def update_xaxes(self, *, row: int | None = None, col: int | None = None, **settings: Any) -> None:
        """Changes the horizontal axes of all panels; with ``row`` or ``col`` only of those panels."""
        self._update(0, row, col, settings)

    def update_yaxes(self, *, row: int | None = None, col: int | None = None, **settings: Any) -> None:
        """Changes the vertical axes of all panels; with ``row`` or ``col`` only of those panels."""
        self._update(1, row, col, settings)

    def _update(self, which: int, row: int | None, col: int | None, settings: dict[str, Any]) -> None:
        for panel in self._panels():
            if row in (None, panel[0]) and col in (None, panel[1]):
                _merge(self._layout[_entry(self._axes(*panel)[which])], settings)

    def _panels(self) -> Iterator[tuple[int, int]]:
        return ((row, col) for row in range(1, self._rows + 1) for col in range(1, self._cols + 1))

    def _axes(self, row: int, col: int) -> tuple[str, str]:
        place = (row - 1) * self._cols + col - 1
        return _name("x", place), _name("y", place)


def _name(letter: str, place: int) -> str:
    return letter if place == 0 else f"{letter}{place + 1}"


def _entry(axis: str) -> str:
    return f"{axis[0]}axis{axis[1:]}"


def _merge(target: dict[str, Any], settings: dict[str, Any]) -> None:
    """Writes settings into a dictionary. Nested dictionaries are merged, not replaced."""
    for key, value in settings.items():
        if isinstance(value, dict):
            if not isinstance(target.get(key), dict):
                target[key] = {}
            _merge(target[key], value)
        else:
            target[key] = value


def _plain(value: Any) -> Any:
    """Returns a value that JSON can hold: arrays of numbers in plotly.js's packed form, NaN and infinity elsewhere as null."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items() if one is not None}
    if isinstance(value, np.ndarray):
        return _packed(value) if value.dtype.kind in "iuf" else _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _packed(array: NDArray[Any]) -> dict[str, Any]:
    if array.dtype.kind != "f" and array.dtype.itemsize == 8:  # JavaScript has no such array
        fits = not array.size or (array.min() >= -(2**31) and array.max() < 2**31)
        array = array.astype(np.int32 if fits else np.float64)
    kind = array.dtype.newbyteorder("<")
    packed = {"dtype": kind.str[1:], "bdata": base64.b64encode(np.ascontiguousarray(array, kind).tobytes()).decode()}
    return packed if array.ndim < 2 else packed | {"shape": ", ".join(map(str, array.shape))}
