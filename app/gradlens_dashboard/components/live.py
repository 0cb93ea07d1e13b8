"""Keeps a page up to date while a run trains: looks every 2 seconds, draws again only when something is new."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from gradlens.runlog import Run
from gradlens_dashboard.components.choices import choose_whether
from gradlens_dashboard.components.store import Shelf, shelf, stamp

SECONDS = 2.0


def follow(runs: Iterable[Run], *, listing: bool = False) -> None:
    """Offers the pause switch and draws the page again when one of its runs has grown; finished runs need nothing.

    Args:
        runs: Whose data the page shows.
        listing: The page shows the list of runs: new and vanished ones count as well.
    """
    shown = tuple(runs)
    live = any(run.status.live for run in shown)
    if not live and not listing:
        return
    on = not live or choose_whether(
        "Live", "live",
        help="On: new measurements are drawn as they come, at most every 2 seconds. Off: the page holds still.",
    )  # fmt: skip
    if on:
        st.fragment(_look, run_every=SECONDS)(shown, _sight(shelf(), shown, listing=listing), listing)


def _look(shown: tuple[Run, ...], seen: object, listing: bool) -> None:
    now = shelf()
    current = {run.path: run for run in now.runs.values()}
    if _sight(now, [current.get(run.path) for run in shown], listing=listing) != seen:
        st.rerun(scope="app")


def _sight(now: Shelf, runs: Iterable[Run | None], *, listing: bool) -> object:
    """Returns something that is equal as long as there is nothing new to draw; a run that has gone is None."""
    names = (*now.runs, *now.broken.items()) if listing else ()
    return names, tuple(None if run is None else stamp(run) for run in runs)
