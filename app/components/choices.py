"""Choices that stand in the address: a pasted link opens the same view."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.components.address import keep
from app.components.page import plain
from app.components.store import Shelf
from gradlens.figures import units
from gradlens.pairing import groups_in_common
from gradlens.runlog import Run

AXES = {"step": "Step", "epoch": "Epoch", "time": "Time", "fraction": "Part of training"}
NORMS = {"contribution": "Contribution", "mean": "Mean gradient"}
SMOOTHING = {"auto": "Automatic", "1": "None", "5": "5", "20": "20", "100": "100", "500": "500"}


def choose_run(
    shelf: Shelf, label: str, key: str, default: str | None = None, names: Sequence[str] | None = None
) -> str:
    """Lets the viewer choose a run and returns its name; says so where the address names one that is not there.

    Args:
        shelf: The runs.
        label: Of the control.
        key: Of the control, and its name in the address.
        default: Chosen where the address says nothing.
        names: Of which runs; all by default.
    """
    options = list(shelf.runs if names is None else names)
    wanted = st.query_params.get(key)
    if wanted is not None and wanted not in options:
        why = shelf.broken.get(wanted, "it is not in this folder, or not any more")
        st.warning(f"The run {plain(wanted)} cannot be shown: {plain(why)}.", icon=":material/warning:")
    # The default changes as runs come, so it is written into the address as well: a link shows the same run tomorrow.
    if st.session_state.get(key) not in options:
        st.session_state[key] = next((name for name in (wanted, default) if name in options), options[0])
    chosen = str(st.selectbox(label, options, None, key=key, bind="query-params", width=300, required=True))
    keep(key, [chosen])
    return chosen


def choose_runs(shelf: Shelf, label: str, key: str, most: int) -> list[str]:
    """Lets the viewer choose any number of runs and returns their names; says so where the address names missing ones.

    Args:
        shelf: The runs.
        label: Of the control.
        key: Of the control, and its name in the address.
        most: So many with the groups of the first are chosen where the address says nothing.
    """
    options = list(shelf.runs)
    wanted = st.query_params.get_all(key)
    gone = [name for name in wanted if name not in options]
    if gone:
        names = ", ".join(map(plain, gone))
        st.warning(f"Not in this folder, or not any more: {names}.", icon=":material/warning:")
    if key not in st.session_state:
        alike = [name for name in options if groups_in_common([shelf.runs[options[0]], shelf.runs[name]])]
        st.session_state[key] = [name for name in wanted if name in options] or alike[:most]
    st.session_state[key] = [name for name in st.session_state[key] if name in options]
    chosen = st.multiselect(label, options, key=key, bind="query-params", placeholder="Choose runs")
    keep(key, chosen)
    return chosen


def choose_axis(runs: Sequence[Run], *, fraction: bool = False) -> str:
    """Lets the viewer choose what the horizontal axis counts and returns the unit."""
    shared = [unit for unit in AXES if all(unit in units(run) for run in runs) and (fraction or unit != "fraction")]
    chosen = st.segmented_control(
        "Horizontal axis", shared, default=shared[0], required=True, key="x", bind="query-params", format_func=AXES.get
    )
    return str(chosen)


def choose_smoothing() -> int | None:
    """Lets the viewer choose the running mean and returns its measured steps; None = a fortieth of the run."""
    chosen = st.selectbox(
        "Running mean over", list(SMOOTHING), key="smooth", bind="query-params", width=190,
        format_func=lambda key: SMOOTHING[key] + (" steps" if key.isdigit() and key != "1" else ""),
        help="Measured steps that the strong line averages; single steps stay faint behind it.",
    )  # fmt: skip
    return None if chosen == "auto" else int(chosen)


def choose_norm() -> str:
    """Lets the viewer choose what a group's norm is of and returns "contribution" or "mean"."""
    chosen = st.segmented_control(
        "Norm of a group's", list(NORMS), default="contribution", required=True, key="norm", bind="query-params",
        format_func=NORMS.get,
        help="Contribution: what the group's samples add to the batch gradient. Mean gradient: the average over its own samples.",
    )  # fmt: skip
    return str(chosen)
