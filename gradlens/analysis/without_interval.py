"""Why numbers have no interval: each reason once, and which numbers it is about."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from gradlens.estimation.interval import FEWEST, Interval, too_few

if TYPE_CHECKING:
    from gradlens.analysis.compare import Difference
    from gradlens.analysis.phase_story import StoryRow
    from gradlens.analysis.row import Headline

# So many columns, and rows of a column, are named.
NAMED = 3
TOO_FEW = "too few steps"

NamedIntervals = dict[str, list[tuple[str, Interval]]]


def without_interval(cells: Iterable[tuple[str, str, Interval]]) -> str:
    """Says which numbers have no interval, and why; "" where all that have a value have one.

    Args:
        cells: Column (a run, say), row (what is measured, with the group) and number. A column is named alone where none of
            its numbers has an interval, else with the rows that have none.
    """
    rows: dict[str, int] = {}
    reasons: dict[str, NamedIntervals] = {}
    for column, row, number in cells:
        if not math.isfinite(number.value):
            continue
        rows[column] = rows.get(column, 0) + 1
        if not number.measurable:
            reason = TOO_FEW if number.samples < FEWEST else number.why
            reasons.setdefault(reason, {}).setdefault(column, []).append((row, number))
    return " ".join(
        f"Without an interval: {_listed(found, rows)}: {too_few(*_steps(found)) if reason == TOO_FEW else reason}."
        for reason, found in reasons.items()
    )


def rows_without_interval(columns: Sequence[str], rows: Iterable[Difference | StoryRow]) -> str:
    """Says which numbers of a table have no interval, and why; "" where all that have a value have one.

    Args:
        columns: The names of a row's numbers.
        rows: The rows.
    """
    return without_interval(
        (column, f"{row.group}: {row.quantity}" if row.group else row.quantity, number)
        for row in rows
        for column, number in zip(columns, row.intervals, strict=True)
    )


def headline_without_interval(seen: Headline) -> str:
    """Says which distortions of a run have no interval, and why; "" where all that have a value have one."""
    cells = [("distortion", "of the whole run", seen.distortion)]
    return without_interval(
        [*cells, *([("distortion", f"of phase {seen.phase}", seen.last_phase)] if seen.phase else [])]
    )


def _steps(found: NamedIntervals) -> tuple[int, int]:
    """Returns the least and the largest number of steps behind these numbers."""
    steps = [number.samples for cells in found.values() for _, number in cells]
    return min(steps), max(steps)


def _listed(found: NamedIntervals, rows: dict[str, int]) -> str:
    """Lists columns, those with the same rows together."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for column, cells in found.items():
        names = () if len(cells) == rows[column] else tuple(row for row, _ in cells)
        alike.setdefault(names, []).append(column)
    return "; ".join(_first(columns) + (f" ({_first(names)})" if names else "") for names, columns in alike.items())


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
