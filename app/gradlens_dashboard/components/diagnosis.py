"""The diagnosis of a run: what is wrong with a training, in sentences above its figures."""

from __future__ import annotations

import streamlit as st

from gradlens.diagnosis.diagnose import diagnose
from gradlens.diagnosis.finding import Finding, Severity
from gradlens.diagnosis.text import FIGURES, LEGEND, SIGNS
from gradlens.runlog import Run
from gradlens_dashboard.components.page import plain
from gradlens_dashboard.components.store import kept_for


def diagnosis(run: Run) -> None:
    """Writes the findings of a run. What is fine is folded away where there are problems."""
    found, since = kept_for("diagnosis", (run,), lambda: diagnose(run))
    if not found:
        return
    problems = [finding for finding in found if finding.severity is not Severity.FINE]
    st.markdown("  \n".join(map(_line, problems or found)))
    with st.expander("How to read this", expanded=False):
        if problems and len(found) > len(problems):
            st.markdown("  \n".join(_line(finding) for finding in found if finding.severity is Severity.FINE))
        st.caption(plain(LEGEND + (f" From {since}." if since else "")))


def _line(finding: Finding) -> str:
    figure = f" :gray[Figure: {plain(FIGURES[finding.figure])}]" if finding.figure else ""
    advice = f" :gray[{plain(finding.advice)}]" if finding.advice else ""
    return f"**{plain(SIGNS[finding.severity])}** {plain(finding.sentence)}{advice}{figure}"
