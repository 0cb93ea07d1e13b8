"""Keeps a page up to date while a run trains: checks every 2 seconds, and redraws the page only if something is new."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from gradlens.runlog import Run
from gradlens_dashboard.components.choices import choose_whether
from gradlens_dashboard.components.store import Shelf, shelf, stamp

SECONDS = 2.0


def follow(runs: Iterable[Run], *, listing: bool = False) -> None:
    """Redraws the page when one of its runs has grown, and shows a switch that pauses this.

    If no run is live, nothing is shown, and only a list of runs is still followed.

    Args:
        runs: The runs that the page shows.
        listing: True if the page lists the runs of the folder. It is then also redrawn when runs come or go.
    """
    shown = tuple(runs)
    live = any(run.status.live for run in shown)
    if not live and not listing:
        return
    on = not live or choose_whether(
        "Live", "live",
        help="On: new measurements are drawn as they come, at most every 2 seconds. Off: the page does not change.",
    )  # fmt: skip
    if on:
        st.fragment(_look, run_every=SECONDS)(shown, _sight(shelf(), shown, listing=listing), listing)


def _look(shown: tuple[Run, ...], seen: object, listing: bool) -> None:
    now = shelf()
    current = {run.path: run for run in now.runs.values()}
    if _sight(now, [current.get(run.path) for run in shown], listing=listing) != seen:
        st.rerun(scope="app")


def _sight(now: Shelf, runs: Iterable[Run | None], *, listing: bool) -> object:
    """Returns a value that stays equal as long as there is nothing new to draw.

    Args:
        now: The runs of the folder.
        runs: The runs that the page shows; None for a run that is gone.
        listing: True if the page lists the runs of the folder.
    """
    names = (*now.runs, *now.broken.items()) if listing else ()
    return names, tuple(None if run is None else stamp(run) for run in runs)
