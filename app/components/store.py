"""The runs that the pages show, opened once for everybody who looks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from gradlens.claims import Claim, figure1_claims
from gradlens.dashboard import FOLDER_VARIABLE
from gradlens.overview import Overview, overview
from gradlens.runlog import Run, RunError
from gradlens.runlog.library import RunLibrary


@dataclass(frozen=True)
class Shelf:
    """The runs of the folder at one moment.

    Attributes:
        folder: Where they lie.
        runs: Those that can be read, by name; live ones first, then the latest.
        broken: Why the others cannot.
    """

    folder: Path
    runs: dict[str, Run]
    broken: dict[str, str]


@st.cache_resource(show_spinner=False)
def _library(folder: str) -> RunLibrary:
    return RunLibrary(folder)


@st.cache_resource(show_spinner=False)
def _overviews() -> dict[tuple[Path, object], Overview]:
    return {}


def shelf() -> Shelf:
    """Returns the runs as they are now; stops the page with the reason where the folder cannot be read."""
    folder = Path(os.environ.get(FOLDER_VARIABLE, "runs"))
    try:
        found = _library(str(folder)).look()
    except RunError as error:
        st.error(str(error), icon=":material/folder_off:")
        st.stop()
    runs = {name: run for name, run in found.items() if isinstance(run, Run)}
    order = sorted(runs, key=lambda name: (not runs[name].status.live, -(runs[name].meta.started or 0.0), name))
    broken = {name: str(error) for name, error in found.items() if not isinstance(error, Run)}
    return Shelf(folder, {name: runs[name] for name in order}, broken)


def stamp(run: Run) -> tuple[object, ...]:
    """Returns what changes whenever there is something new to see of a run."""
    return (run.meta.started, len(run), run.status.state, len(run.events), len(run.probes))


def overview_of(run: Run) -> Overview:
    """Returns the row of a run, computed again only when it has changed."""
    kept, key = _overviews(), stamp(run)
    if (known := kept.get((run.path, key))) is None:
        known = overview(run)
        for old in [k for k in kept if k[0] == run.path]:
            kept.pop(old, None)
        kept[(run.path, key)] = known
    return known


@st.cache_resource(show_spinner=False)
def _judged() -> dict[tuple[Path, Path], tuple[tuple[int, ...], list[Claim]]]:
    return {}


def claims_of(long_tailed: Run, balanced: Run) -> tuple[list[Claim], str]:
    """Returns the claims of Figure 1, and of which steps where a run has grown since.

    Resampling a long run takes a second, so a live one is judged again only when it has grown by a tenth.

    Raises:
        PairError: The runs have fewer than two groups in common.
    """
    kept, key = _judged(), (long_tailed.path, balanced.path)
    sizes = (len(long_tailed), len(balanced))
    if key in kept:
        before, claims = kept[key]
        over = not (long_tailed.status.live or balanced.status.live)
        if before == sizes or (not over and all(old <= new <= 1.1 * old for old, new in zip(before, sizes, strict=True))):
            return claims, "" if before == sizes else f"{before[0]:,} and {before[1]:,} measured steps"
    claims = figure1_claims(long_tailed, balanced)
    kept[key] = (sizes, claims)
    return claims, ""
