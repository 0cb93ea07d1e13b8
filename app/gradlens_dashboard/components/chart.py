"""A figure on a page: drawn by plotly in the browser, keeps its zoom when data come in, offers itself for download."""

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
# Parts of one script, which Streamlit takes as one text.
SCRIPTS = ("layout.js", "chart.js")
# Rows of a CSV that a browser takes without trouble; above, lines keep the smallest and largest of each stretch.
MOST_ROWS = 300_000


class Draw(Protocol):
    """Draws a figure; what it is given are options of ``gradlens.figures``."""

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
    on_click: Callable[[int], None] | None = None,
) -> None:
    """Shows a figure; zooming draws only this one again, with all its points in what is seen.

    Args:
        key: Unique on the page.
        draw: Draws it; is given ``theme``, and for figures over training ``window`` and for the CSV ``points``.
        name: Of the files that are downloaded, without suffix.
        revision: Zoom and legend choices, which stand in the address, are kept as long as this stays the same.
        over_training: Whether the figure takes ``window`` and ``points``.
        rows: Measured steps behind it, for the CSV.
        on_click: Called with the row of a heat map that was clicked.
    """
    options: dict[str, Any] = {"theme": theme()}
    state = st.session_state.get(key) or {}
    same = st.session_state.get(f"{key}:revision") in (None, str(revision))
    remember(f"{key}:revision", str(revision))
    # The address is what it was when the viewer came; what he has zoomed to since, the browser has said.
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
