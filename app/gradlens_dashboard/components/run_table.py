"""The table of all runs, and the sentences below it. They are made anew only if a row or the search has changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from gradlens.analysis.row import Overview, groupings_differ
from gradlens.analysis.run_query import ListedRun, matching, sorted_by, value_of
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
# The names of further columns begin with this.
MORE = "more "

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


def listed_runs(found: Shelf) -> list[ListedRun]:
    """Returns the runs of the folder, as ``gradlens ls`` finds and sorts them."""
    return [ListedRun(name, row, found.cards[name]) for name, row in found.rows.items()]


def run_table(found: Shelf, search: str = "", sort: str = "", place: str = "", more: tuple[str, ...] = ()) -> RunTable:
    """Returns the table of the runs that fulfil every word and condition of a search (``gradlens.analysis.run_query``).

    Args:
        found: All runs.
        search: Words and conditions.
        sort: Field to sort by, "-" before it puts the largest first; "" = live runs first, then the latest.
        place: "" = listed runs, "archived" or "deleted".
        more: Further fields and hyper-parameters that get a column.

    Raises:
        QueryError: The search or the field is not understood.
    """
    return _kept(str(found.folder), found.number, (search, sort, place, more), found)


@st.cache_resource(show_spinner=False, max_entries=8)
def _kept(folder: str, number: int, wanted: tuple[str, str, str, tuple[str, ...]], _found: Shelf) -> RunTable:  # noqa: ARG001
    search, sort, place, more = wanted
    runs = matching([run for run in listed_runs(_found) if run.card.place == place], [search])
    runs = sorted_by(runs, sort) if sort else runs
    rows = [(run, _status(run.row)) for run in runs]
    whys = ((run.title, headline_without_interval(run.row.headline)) for run in runs)
    return RunTable(
        names=tuple(run.name for run in runs),
        frame=_frame(rows, more),
        highest=max((value for run in runs for value in run.row.sparks if math.isfinite(value)), default=0.0),
        groups_differ=groupings_differ(run.row for run in runs),
        damaged=[(run.title, text) for run in runs for text in (*run.row.incomplete, run.card.problem) if text],
        ended=[(run.title, run.row.state, run.row.reason) for run in runs if run.row.reason],
        nonfinite=[(run.title, run.row.nonfinite) for run in runs if run.row.nonfinite],
        without_interval=[(title, why.removeprefix("Without an interval: ")) for title, why in whys if why],
    )


def _status(seen: Overview) -> str:
    state = STATES.get(seen.state, seen.state)
    if seen.incomplete:
        state = f"{DAMAGED} {state}"
    return f"{FEW_STEPS} {state}" if seen.headline.few else state


def _frame(rows: Sequence[tuple[ListedRun, str]], more: Sequence[str]) -> pd.DataFrame:
    columns: dict[str, list[Any]] = {
        "run": [], "status": [], "groups": [], "distortion": [], "interval": [], "last phase": [], "its interval": [],
        "course": [], "accuracy": [], "method": [], "data set": [], "steps": [], "measured": [], "started": [],
    }  # fmt: skip
    for run, status in rows:
        seen = run.row
        head = seen.headline
        values = (
            run.title, status, head.groups, head.distortion.value, low_high(head.distortion), head.last_phase.value,
            low_high(head.last_phase), list(seen.sparks), seen.accuracy, seen.method, seen.dataset, seen.steps,
            seen.measured, seen.started,
        )  # fmt: skip
        for column, value in zip(columns.values(), values, strict=True):
            column.append(value)
    frame = pd.DataFrame(columns)
    frame["started"] = pd.to_datetime(pd.Series(columns["started"], dtype=float), unit="s")
    for name in more:
        frame[f"{MORE}{name}"] = [_text(value_of(run, name)) for run, _ in rows]
    return frame.drop(columns=[c for c in OPTIONAL if frame[c].isna().all() or (frame[c] == "").all()])


def _text(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return "" if math.isnan(value) else f"{value:g}"


def sentences(title: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Writes a table with the first rows, and how many more there are; nothing without a row."""
    if rows:
        more = len(rows) - MOST_LISTED
        st.header(title, anchor=False)
        caption = f"… and {more:,} more; search for a name to see its lines." if more > 0 else ""
        plain_table(head, rows[:MOST_LISTED], caption=caption)
