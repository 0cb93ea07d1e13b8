"""Which rows of a table of runs are selected. The selection stays with the runs when rows come, go, or change their order."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import streamlit as st

from gradlens_dashboard.components.address import asked, keep


def selection(names: Sequence[str], key: str) -> tuple[str, list[int]]:
    """Returns the key of the table with these rows, and the rows that are selected at first.

    Streamlit's table remembers row numbers. A new run or a search shifts them. The key then changes, so Streamlit makes a new
    table, which begins with the same runs selected.

    Args:
        names: Names of the runs in the table.
        key: Key of the selection in the session, and its name in the address.
    """
    if key not in st.session_state:
        st.session_state[key] = asked(key)
    of_rows = f"{key}-{zlib.crc32(chr(0).join(names).encode())}"
    if st.session_state.get("table", ("",))[0] != of_rows:
        rows = [row for row, name in enumerate(names) if name in st.session_state[key]]
        st.session_state["table"] = (of_rows, rows)
    return st.session_state["table"]


def select(names: Sequence[str], chosen: list[str], key: str) -> list[str]:
    """Keeps the selected runs, also those that the search hides, writes them into the address, and returns them.

    Args:
        names: Names of the runs in the table.
        chosen: Names of the selected runs in the table.
        key: Key of the selection.
    """
    before = st.session_state[key]
    here = set(chosen)
    kept = [name for name in before if name in here or name not in names]
    st.session_state[key] = [*kept, *(name for name in chosen if name not in kept)]
    keep(key, st.session_state[key])
    return list(st.session_state[key])
