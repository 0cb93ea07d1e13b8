"""The runs that the pages show, and results computed from them. All viewers share them, so each is computed once."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import streamlit as st

from gradlens.analysis.compare import MOST_GROUPS, Difference, differences
from gradlens.analysis.figure1_claims import Claim, figure1_claims
from gradlens.analysis.overview import overview
from gradlens.analysis.per_class import class_measurements
from gradlens.analysis.phase_story import StoryRow, phase_story, stretches
from gradlens.analysis.row import Overview
from gradlens.analysis.two_runs import common_groups
from gradlens.runlog import Probe, Run, RunError
from gradlens_dashboard.components.shelf import Shelf, Shelves
from gradlens_dashboard.server import FOLDER_VARIABLE

T = TypeVar("T")
# At most this many computed tables are kept in memory, for all viewers together.
MOST_KEPT = 64


@st.cache_resource(show_spinner=False)
def _shelves(folder: str) -> Shelves:
    return Shelves(Path(folder))


@st.cache_resource(show_spinner=False)
def _overviews() -> dict[Path, tuple[tuple[object, ...], Overview]]:
    return {}


def shelf(seconds: float | None = None) -> Shelf:
    """Returns the runs as they are now. If the folder cannot be read, shows the reason and stops the page.

    Args:
        seconds: See ``Shelves.look``.
    """
    try:
        return _shelves(os.environ.get(FOLDER_VARIABLE, "runs")).look(seconds)
    except RunError as error:
        st.error(str(error), icon=":material/folder_off:")
        st.stop()


def runs_of_the_lab() -> bool:
    """Says whether the folder has runs of the long-tail lab or runs in phases, as far as they are read already."""
    try:
        rows = _shelves(os.environ.get(FOLDER_VARIABLE, "runs")).look(0.0).rows.values()
    except RunError:  # the page says why the folder cannot be read
        return False
    return any(row.method or row.phases > 1 for row in rows)


def look_again() -> None:
    """Looks at the folder at once, so that what was just written is shown."""
    _shelves(os.environ.get(FOLDER_VARIABLE, "runs")).look(now=True)


def stamp(run: Run) -> tuple[object, ...]:
    """Returns a value that changes whenever a run has something new to show."""
    return (
        run.meta.started,
        len(run),
        run.status.state,
        len(run.events),
        len(run.probes),
        tuple(run.warnings),
        run.name,
    )


def overview_of(run: Run) -> Overview:
    """Returns the row of a run that a page shows.

    For a live run the distortion is computed again only after the run has grown by 1 %.
    """
    kept, key = _overviews(), stamp(run)
    known = kept.get(run.path)
    if known is not None and known[0] == key:
        return known[1]
    if known is not None and known[0][:1] == key[:1] and run.status.live and len(run) < 1.01 * known[1].measured:
        return replace(known[1], measured=len(run), steps=int(run.steps[-1]) + 1)
    row = overview(run)
    kept[run.path] = (key, row)
    return row


@st.cache_resource(show_spinner=False)
def _resampled() -> OrderedDict[Hashable, tuple[tuple[int, ...], Any]]:
    return OrderedDict()


def claims_of(long_tailed: Run, balanced: Run) -> tuple[list[Claim], str]:
    """Returns the claims of Figure 1, and a text that says from how many steps they are if a run has grown since.

    Raises:
        PairError: The runs have fewer than two groups in common.
    """
    return kept_for("claims", (long_tailed, balanced), lambda: figure1_claims(long_tailed, balanced))


def compared(a: Run, b: Run) -> tuple[list[Difference], str]:
    """Returns the differences of two runs, and a text that says from how many steps they are if a run has grown since.

    Raises:
        PairError: No group is the same in both runs.
    """
    groups = common_groups(a, b)[:MOST_GROUPS]
    return kept_for("differences", (a, b), lambda: differences(a, b, groups))


def story_of(run: Run, baseline: Run | None, groups: Sequence[str]) -> tuple[tuple[str, ...], list[StoryRow]]:
    """Returns the titles of the columns and the rows that compare the phases of a run, and a baseline if there is one."""

    def tell() -> tuple[tuple[str, ...], list[StoryRow]]:
        parts = stretches(run, baseline)
        return tuple(part.title for part in parts), phase_story(parts, groups) if len(parts) > 1 else []

    key = ("story", len(run.phases), tuple(groups))
    return kept_for(key, (run,) if baseline is None else (run, baseline), tell)[0]


def kept_for(kind: Hashable, runs: tuple[Run, ...], compute: Callable[[], T]) -> tuple[T, str]:
    """Returns a computed result from the cache, or computes it.

    Computing it takes about a second, since intervals are found by resampling. So for live runs it is computed again only after
    a run has grown by 10 %.

    Args:
        kind: Key of the result for these runs.
        runs: The runs that it is computed from.
        compute: Computes it.

    Returns:
        The result, and a text that says from how many measured steps it is; "" if it is up to date.
    """
    kept, key = _resampled(), (kind, *((run.path, run.meta.started) for run in runs))
    sizes = tuple(len(run) for run in runs)
    if key in kept:
        before, value = kept[key]
        live = any(run.status.live for run in runs)
        if before == sizes:
            return value, ""
        if live and all(old <= new <= 1.1 * old for old, new in zip(before, sizes, strict=True)):
            return value, " and ".join(f"{size:,}" for size in before) + " measured steps"
    value = compute()
    kept[key] = (sizes, value)
    while len(kept) > MOST_KEPT:
        kept.popitem(last=False)
    return value, ""


@st.cache_resource(show_spinner=False, max_entries=16)
def _classes(_run: Run, key: Hashable) -> list[Probe]:  # noqa: ARG001
    return class_measurements(_run)


def classes_of(run: Run) -> list[Probe]:
    """Returns the measurements of single classes in a run, in the order of training."""
    return _classes(run, (str(run.path), len(run.probes), len(run) if not run.probes else 0, run.meta.started))
