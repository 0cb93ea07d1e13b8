"""Whether a part of the record is missing or damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradlens.analysis.facts import incomplete_texts
from gradlens.diagnosis.finding import Finding, Severity

if TYPE_CHECKING:
    from gradlens.runlog import Run


def incomplete(run: Run) -> Finding | None:
    """Says what is missing or damaged."""
    texts = incomplete_texts(run)
    if not texts:
        return None
    return Finding(
        "record", Severity.PROBLEM, f"The record of this run is not whole: {'; '.join(texts)}.", float(len(texts)), None
    )
