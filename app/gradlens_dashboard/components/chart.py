"""A figure on a page: plotly draws it in the browser. It keeps its zoom when new data come, and can be downloaded."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import streamlit as st

from gradlens.analysis.two_runs import PairError
from gradlens.figures import FigureError, Sheet, figure_csv
from gradlens_dashboard.components.address import here, remember
from gradlens_dashboard.components.theme import theme
from gradlens_dashboard.components.view import window
from gradlens_dashboard.server import plotly_address

HERE = Path(__file__).parent
# The parts of the component's script. Streamlit takes it as one text.
SCRIPTS = ("layout.js", "linked.js", "chart.js")
# A browser handles a CSV of this many rows well. With more points, a line keeps the smallest and the largest of each bucket.
MOST_ROWS = 300_000


class Draw(Protocol):
    """A function that draws a figure. It takes options of ``gradlens.figures``."""

    def __call__(self, **options: Any) -> Sheet:
        """Returns the figure as a sheet."""


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    return st.components.v2.component(
        "gradlens.chart",
        js="\n".join((HERE / name).read_text("utf-8") for name in SCRIPTS).replace("PLOTLY_ADDRESS", plotly_address()),
        css=(HERE / "chart.css").read_text("utf-8"),
        isolate_styles=False,
    )


@st.fragment
def chart(
    key: str,
    draw: Draw,
    *,
    name: str,
    revision: object = "",
    over_training: bool = True,
    rows: int = 0,
    explains: str = "",
    on_click: Callable[[int], None] | None = None,
) -> None:
    """Shows a figure. Zooming redraws only this figure, with all its points in the part that is seen.

    Args:
        key: Key of the figure, unique on the page.
        draw: Draws the figure. It is called with ``theme``; for a figure over training also with ``window``, and for its CSV
            with ``points``.
        name: Name of the downloaded files, without suffix.
        revision: The zoom and the hidden lines are kept as long as this stays the same.
        over_training: True if the figure takes ``window`` and ``points``.
        rows: Measured steps behind the figure. They set the number of points of the CSV.
        explains: Name of the quantity that it shows; a link leads to its entry in the glossary.
        on_click: Called with the row of a heat map when the viewer clicks on it.
    """
    options: dict[str, Any] = {"theme": theme()}
    state = st.session_state.get(key) or {}
    same = st.session_state.get(f"{key}:revision") in (None, str(revision))
    remember(f"{key}:revision", str(revision))
    # The server sees the address as it was when the viewer opened the page. The browser reports later zooms in the state.
    seen = state["window"] if "window" in state else window(key)
    if over_training and same and seen:
        options["window"] = (float(seen[0]), float(seen[1]))
    try:
        data: dict[str, Any] = {
            "figure": draw(**options).json(),
            "name": re.sub(r"[^\w.-]+", "-", name).strip("-") or "figure",
            "revision": str(revision),
            "resample": over_training,
            "key": key,
            "path": here(),
            "window": options.get("window"),
            "keep": same,
            "explains": explains,
            "clickable": on_click is not None,
        }
        if st.session_state.pop(f"{key}:csv", False):
            full = {"points": max(4, min(2 * rows + 8, MOST_ROWS))} if over_training else {}
            data["csv"] = {"id": time.time(), "text": figure_csv(draw(theme=theme(), **full).figure())}
    except (FigureError, PairError) as error:
        st.info(str(error), icon=":material/info:")
        return

    def wants_csv() -> None:
        st.session_state[f"{key}:csv"] = True

    def clicked() -> None:
        row = (st.session_state.get(key) or {}).get("clicked")
        if on_click is not None and isinstance(row, int):
            on_click(row)
            st.session_state[f"{key}:rerun"] = True

    _component()(key=key, data=data, on_window_change=lambda: None, on_csv_change=wants_csv, on_clicked_change=clicked)
    if st.session_state.pop(f"{key}:rerun", False):
        st.rerun()
