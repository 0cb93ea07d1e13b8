"""The table of all runs, and the sentences below it. They are made anew only if a row or the search has changed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from gradlens.analysis.row import Overview, groupings_differ
from gradlens.analysis.without_interval import headline_without_interval
from gradlens.reports.text import low_high
from gradlens_dashboard.components.shelf import Shelf
from gradlens_dashboard.components.tables import plain_table

STATES = {"running": "● live"}
# This sign stands before the status of a run that is damaged or not complete.
DAMAGED = "⚠"
# This sign stands before the status of a run whose distortion says little, as in ``gradlens ls``.
FEW_STEPS = "~"
# Without any value, these columns are left out.
OPTIONAL = ("method", "data set", "interval", "last phase", "its interval", "accuracy", "started")

# Tables of sentences are cut after so many rows. The table of runs has all runs.
MOST_LISTED = 200

Rows = Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class RunTable:
    """The table of the runs that match a search.

    Attributes:
        names: Names of the runs.
        frame: A row for each run, without columns that hold nothing.
        highest: The highest value of the small curves.
        groups_differ: Whether the groups of the runs differ.
        damaged: (run, text) for each thing that is missing or was changed.
        ended: (run, status, why) for runs that ended early.
        nonfinite: (run, text) for runs with gradients that are not finite.
        without_interval: (run, why) for runs whose distortion has no interval.
    """

    names: tuple[str, ...]
    frame: pd.DataFrame
    highest: float
    groups_differ: bool
    damaged: Rows
    ended: Rows
    nonfinite: Rows
    without_interval: Rows


def run_table(found: Shelf, search: str) -> RunTable:
    """Returns the table of the runs whose name, method, data set and status hold every word of a search."""
    return _kept(str(found.folder), found.number, search, found)


@st.cache_resource(show_spinner=False, max_entries=8)
def _kept(folder: str, number: int, search: str, _found: Shelf) -> RunTable:  # noqa: ARG001
    words = search.lower().split()
    rows = [(name, seen, _status(seen)) for name, seen in _found.rows.items()]
    rows = [
        (name, seen, status)
        for name, seen, status in rows
        if all(word in f"{name} {seen.method} {seen.dataset} {status}".lower() for word in words)
    ]
    seen_runs = [(name, seen) for name, seen, _ in rows]
    whys = ((name, headline_without_interval(seen.headline)) for name, seen in seen_runs)
    return RunTable(
        names=tuple(name for name, _, _ in rows),
        frame=_frame(rows),
        highest=max((value for _, seen in seen_runs for value in seen.sparks if math.isfinite(value)), default=0.0),
        groups_differ=groupings_differ(seen for _, seen in seen_runs),
        damaged=[(name, text) for name, seen in seen_runs for text in seen.incomplete],
        ended=[(name, seen.state, seen.reason) for name, seen in seen_runs if seen.reason],
        nonfinite=[(name, seen.nonfinite) for name, seen in seen_runs if seen.nonfinite],
        without_interval=[(name, why.removeprefix("Without an interval: ")) for name, why in whys if why],
    )


def _status(seen: Overview) -> str:
    state = STATES.get(seen.state, seen.state)
    if seen.incomplete:
        state = f"{DAMAGED} {state}"
    return f"{FEW_STEPS} {state}" if seen.headline.few else state


def _frame(rows: Iterable[tuple[str, Overview, str]]) -> pd.DataFrame:
    columns: dict[str, list[Any]] = {
        "run": [], "status": [], "groups": [], "distortion": [], "interval": [], "last phase": [], "its interval": [],
        "course": [], "accuracy": [], "method": [], "data set": [], "steps": [], "measured": [], "started": [],
    }  # fmt: skip
    for name, seen, status in rows:
        head = seen.headline
        values = (
            name, status, head.groups, head.distortion.value, low_high(head.distortion), head.last_phase.value,
            low_high(head.last_phase), list(seen.sparks), seen.accuracy, seen.method, seen.dataset, seen.steps, seen.measured,
            seen.started,
        )  # fmt: skip
        for column, value in zip(columns.values(), values, strict=True):
            column.append(value)
    frame = pd.DataFrame(columns)
    frame["started"] = pd.to_datetime(pd.Series(columns["started"], dtype=float), unit="s")
    return frame.drop(columns=[c for c in OPTIONAL if frame[c].isna().all() or (frame[c] == "").all()])


def sentences(title: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Writes a table with the first rows, and how many more there are; nothing without a row."""
    if rows:
        more = len(rows) - MOST_LISTED
        st.header(title, anchor=False)
        caption = f"… and {more:,} more; search for a name to see its lines." if more > 0 else ""
        plain_table(head, rows[:MOST_LISTED], caption=caption)
