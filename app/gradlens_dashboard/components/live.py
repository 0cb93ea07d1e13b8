"""Keeps a page up to date while a run trains: checks every 2 seconds, and redraws the page only if something is new."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from gradlens.runlog import Run
from gradlens_dashboard.components.choices import choose_whether
from gradlens_dashboard.components.shelf import Shelf
from gradlens_dashboard.components.store import shelf, stamp

SECONDS = 2.0
AT_ONCE = 0.05
# A list of runs shows those that it has read after so many seconds; the others come later.
LIST_SECONDS = 1.0


def follow(runs: Iterable[Run]) -> None:
    """Redraws the page when one of its runs has grown, and shows a switch that pauses this.

    If no run is live, nothing is shown or followed.

    Args:
        runs: The runs that the page shows.
    """
    shown = tuple(runs)
    if any(run.status.live for run in shown) and _wanted():
        st.fragment(_look, run_every=SECONDS)(shown, _sight(shown))


def follow_list(shown: Shelf) -> None:
    """Redraws the page when a row of its list has changed, and when runs come or go. For live runs, a switch pauses this.

    Args:
        shown: The runs that the page lists.
    """
    # Runs that wait to be read come at once.
    if not any(row.live for row in shown.rows.values()) or _wanted():
        st.fragment(_look_at_list, run_every=AT_ONCE if shown.waiting else SECONDS)(shown, [])


def _wanted() -> bool:
    return choose_whether(
        "Live", "live",
        help="On: new measurements are drawn as they come, at most every 2 seconds. Off: the page does not change.",
    )  # fmt: skip


def _look(shown: tuple[Run, ...], seen: object) -> None:
    now = shelf()
    if _sight(now.runs.at(run.path) for run in shown) != seen:
        st.rerun(scope="app")


def _sight(runs: Iterable[Run | None]) -> object:
    """Returns a value that stays equal as long as the runs have nothing new to draw; None stands for a run that is gone."""
    return tuple(None if run is None else stamp(run) for run in runs)


def _look_at_list(shown: Shelf, drawn: list[bool]) -> None:
    if not drawn:  # the first call is a part of drawing the page
        drawn.append(True)
        return
    now = shelf(LIST_SECONDS)
    if now is not shown and (now.waiting, now.broken, now.rows) != (shown.waiting, shown.broken, shown.rows):
        st.rerun(scope="app")
