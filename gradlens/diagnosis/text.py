"""Findings as text and as JSON."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

from gradlens.diagnosis.finding import LEVEL, Finding, Severity

SIGNS = {Severity.PROBLEM: "!", Severity.NOTE: "-", Severity.UNKNOWN: "?", Severity.FINE: "+"}
LEGEND = (
    "! problem, - worth knowing, ? not decided, + fine. In brackets: the interval that holds the true mean in "
    f"{LEVEL:.0%} of cases."
)
NOTHING = "Too little was measured to say anything (means need 53 measured steps)."
# The figures that findings name, as the report calls them.
FIGURES = {
    "shares": "share of the update",
    "conflicts": "conflict",
    "benefit": "benefit of a step",
    "update": "optimizer",
    "norms": "norms",
    "losses": "loss",
}


def lines(findings: Sequence[Finding], width: int = 100) -> list[str]:
    """Returns the findings as lines of text, each with the name of its figure and what people do about it."""
    if not findings:
        return [NOTHING]
    found = []
    for finding in findings:
        told = " ".join(filter(None, (finding.sentence, finding.advice)))
        where = f" [figure: {FIGURES[finding.figure]}]" if finding.figure else ""
        found += textwrap.wrap(
            told + where, max(width, 20), initial_indent=f"{SIGNS[finding.severity]} ", subsequent_indent="  "
        )
    return [*found, *textwrap.wrap(LEGEND, max(width, 20))]


def to_json(finding: Finding) -> dict[str, Any]:
    """Returns a finding as a strict JSON object; numbers that are not finite are None."""
    x = finding.interval
    return {
        "rule": finding.rule,
        "severity": finding.severity.value,
        "sentence": finding.sentence,
        "number": _finite(finding.number),
        "interval": None if x is None or not x.measurable else [x.low, x.high],
        "level": LEVEL,
        "measured": None if x is None else x.samples,
        "figure": finding.figure or None,
        "advice": finding.advice or None,
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
