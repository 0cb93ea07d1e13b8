"""Counts how often intervals are given and cover the true value, and writes the counts as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from gradlens.estimation.interval import Interval

GOAL = (0.92, 0.97)
# If a smaller fraction of the series than this has an interval, the row counts as refused.
REFUSED = 0.05
# A row with fewer intervals than this says little. It is counted with ten times as many series.
FEW = 100


def counted(found: list[Interval], truth: float) -> dict[str, Any]:
    """Returns how often intervals are given, how often given ones cover the truth, and how often one is given that misses it."""
    given = [i for i in found if i.measurable]
    covers = sum(i.low <= truth <= i.high for i in given)
    return {
        "given": len(given) / len(found),
        "covers of those given": covers / len(given) if given else float("nan"),
        "shown and missed of all": (len(given) - covers) / len(found),
        "holds": _judged(len(found), len(given), covers),
    }


def _judged(series: int, given: int, covers: int) -> str:
    """Returns "yes" if given intervals cover in 92 to 97 % of cases, up to two standard errors of the simulation.

    Else "more" or "less"; "refused" if too few intervals are given.
    """
    if given < REFUSED * series:
        return "refused"
    part, error = covers / given, 2 * np.sqrt(0.05 * 0.95 / given)
    return "less" if part < GOAL[0] - error else "more" if part > GOAL[1] + error else "yes"


def twice(row: dict[str, Any], again: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Returns a row with a second count, if its intervals cover more or less often than they should.

    One row in many does so by chance. The second count, with other seeds and ten times as many series, shows whether it was.
    """
    if row["holds"] not in ("more", "less"):
        return row
    second = again()
    return row | {"second count": f"{second['holds']}: {second['covers of those given']:.4f}"}


def table(rows: list[dict[str, Any]]) -> str:
    """Returns a Markdown table."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(keys) + " |", "|" + "---|" * len(keys)]
    lines += ["| " + " | ".join(_cell(row.get(key, "")) for key in keys) + " |" for row in rows]
    return "\n".join(lines)


def tally(rows: list[dict[str, Any]]) -> str:
    """Returns a text that says in how many rows the intervals cover right, more, less, or are refused, and of second counts."""
    text = f"{_counts(row['holds'] for row in rows)} of {len(rows)} rows."
    second = [row["second count"].partition(":")[0] for row in rows if "second count" in row]
    return f"{text}{f' Counted again: {_counts(second)}.' if second else ''}\n"


def _counts(verdicts: Iterable[str]) -> str:
    counts = Counter(verdicts)
    return ", ".join(f"{word}: {counts[word]}" for word in ("yes", "more", "less", "refused"))


def _cell(value: Any) -> str:
    return ("-" if np.isnan(value) else f"{value:.3f}") if isinstance(value, float) else str(value)
