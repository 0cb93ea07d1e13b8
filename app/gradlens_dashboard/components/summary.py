"""The numbers of a run that stand above its figures, and warnings about damaged or very different runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import streamlit as st

from gradlens.analysis.facts import incomplete_texts, lost_text, nonfinite_text, overhead_text
from gradlens.analysis.likeness import unlike
from gradlens.analysis.without_interval import headline_without_interval
from gradlens.analysis.without_output import without_output_text
from gradlens.reports.text import headline_text
from gradlens.runlog import Run
from gradlens_dashboard.components.page import plain
from gradlens_dashboard.components.shelf import Shelf
from gradlens_dashboard.components.store import overview_of


def summary(run: Run) -> None:
    """Writes status, steps, distortion and accuracy of a run in one line, and below it what is wrong with the run."""
    seen = overview_of(run)
    state = "● live" if seen.live else seen.state
    cells = [
        ("status", state),
        ("method", seen.method or "–"),
        ("data set", seen.dataset or "–"),
        ("measured steps", f"{seen.measured:,}"),
        ("groups", seen.headline.groups),
        ("distortion", headline_text(seen.headline)),
        ("accuracy", f"{seen.accuracy:.1f}%" if math.isfinite(seen.accuracy) else "–"),
        ("engine", seen.engine or "–"),
        ("overhead", (overhead_text(run) or "–").replace(" of the training time", "")),
    ]
    parts = " &nbsp;·&nbsp; ".join(f":gray[{title}] **{plain(value)}**" for title, value in cells if value != "–")
    st.markdown(parts)
    for text in filter(None, (seen.headline.apart, headline_without_interval(seen.headline))):
        st.caption(plain(text))
    if seen.state in ("failed", "killed", "interrupted"):
        why = f": {plain(seen.reason)}" if seen.reason else ""
        st.warning(
            f"This training {'was ' if seen.state != 'failed' else ''}{seen.state}{why}. What it wrote until then is shown."
        )
    lost = lost_text(run)
    if lost:
        st.warning(f"{plain(lost)}.", icon=":material/exclamation:")
    for text in filter(None, (nonfinite_text(run), without_output_text(run))):
        st.warning(plain(f"{text[0].upper()}{text[1:]}."), icon=":material/exclamation:")
    for warning in run.warnings:
        st.warning(plain(warning), icon=":material/broken_image:")


def say_damage(found: Shelf, names: Iterable[str]) -> None:
    """Writes what is missing or damaged in the named runs."""
    for name in dict.fromkeys(names):
        for text in incomplete_texts(found.runs[name]):
            st.warning(f"{plain(name)}: {plain(text)}", icon=":material/broken_image:")


def say_apart(runs: Sequence[Run]) -> None:
    """Writes for each run with two groups the last group's share of the update, of the samples and of the classes."""
    texts = {run.name: overview_of(run).headline.apart for run in runs}
    lines = [f"{plain(name)}: {plain(text)}" for name, text in texts.items() if text]
    if lines:
        st.caption("  \n".join(lines))


def say_unlike(runs: Sequence[Run]) -> None:
    """Writes in what the runs differ in kind, so that nobody takes this difference for an effect."""
    found = dict.fromkeys(text for run in runs[1:] for text in unlike(runs[0], run))
    if found:
        words = plain("; ".join(found))
        st.info(f"These trainings are of different kinds: they differ in {words}.", icon=":material/info:")
