"""The list of runs that stays beside the charts: it searches, selects, and shows the colour of each run that is drawn."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from gradlens.analysis.run_query import QueryError
from gradlens.figures import run_color, theme_of
from gradlens_dashboard.components.address import remember
from gradlens_dashboard.components.choices import ask_text, forget_missing, say_missing, wanted_runs
from gradlens_dashboard.components.page import plain
from gradlens_dashboard.components.row_selection import select, selection
from gradlens_dashboard.components.run_table import run_table
from gradlens_dashboard.components.shelf import Shelf
from gradlens_dashboard.components.theme import theme

DOT = "●"
COLUMNS = {
    "colour": st.column_config.TextColumn("Colour", width=62, help="Colour of the run in the figures"),
    "run": st.column_config.TextColumn("Run", pinned=True),
    "distortion": st.column_config.NumberColumn("Distortion", format="%.3f", width=80, help="0 = none; whole run"),
    "accuracy": st.column_config.NumberColumn("Accuracy", format="%.1f%%", width=75),
}
HEIGHT = 520


def list_runs_beside(found: Shelf, key: str, most: int) -> list[str]:
    """Shows the list, and returns the names of the selected runs, in the order in which they were selected.

    Args:
        found: All runs.
        key: Key of the selection, and its name in the address.
        most: The most runs that are selected if the address names none.
    """
    chosen = wanted_runs(found, key, most)
    say_missing(key)
    search = ask_text("Search", "search", placeholder="words, or accuracy>50 method=ce", icon=":material/search:")
    try:
        shown = run_table(found, search)
    except QueryError as error:
        st.warning(plain(f"{error}"[:1].upper() + f"{error}"[1:]), icon=":material/search_off:")
        shown = run_table(found)
    if not shown.names:
        st.info(f"No run matches {plain(search)}.", icon=":material/search_off:")
        return select((), [], key)
    # Those that are drawn when the page opens stand first. Later choices move no row.
    if "first" not in st.session_state:
        remember("first", chosen)
    first = set(st.session_state["first"])
    order = sorted(range(len(shown.names)), key=lambda row: shown.names[row] not in first)
    names = [shown.names[row] for row in order]
    table, rows = selection(names, key)
    frame = shown.frame[[name for name in COLUMNS if name in shown.frame]].iloc[order]
    colors = _colors(found, names, chosen)
    frame.insert(0, "colour", [DOT if color else "" for color in colors])
    styled = frame.style.apply(lambda _: [f"color: {color}" if color else "" for color in colors], subset=["colour"])
    picked = st.dataframe(
        styled, column_config=COLUMNS, hide_index=True, on_select="rerun", key=table, height=HEIGHT, placeholder="–",
        selection_default={"selection": {"rows": rows}}, selection_mode="multi-row",
        alt=f"Table of {len(names)} runs; select those to compare",
    )  # fmt: skip
    selected = select(names, [names[row] for row in picked["selection"]["rows"] if row < len(names)], key)
    if selected != chosen:
        forget_missing(key)
    return selected


def _colors(found: Shelf, names: Sequence[str], chosen: Sequence[str]) -> list[str]:
    """Returns the colour of each run that is drawn; "" for the others."""
    drawn, colors = set(chosen), theme_of(theme())
    return [run_color(found.runs[name], colors) if name in drawn else "" for name in names]
