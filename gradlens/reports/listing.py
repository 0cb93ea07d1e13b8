"""The table of ``gradlens ls``: all runs in a folder."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from gradlens.analysis.durations import span
from gradlens.analysis.row import FEW, NOT_RANKED, Overview, groupings_differ
from gradlens.analysis.without_interval import headline_without_interval
from gradlens.guards.printable import printable
from gradlens.reports.lines import StyledLine, cells, joined, wrapped
from gradlens.reports.terminal import WIDE, cut
from gradlens.reports.text import headline_numbers

if TYPE_CHECKING:
    from gradlens.runlog.errors import RunError

COLORS = {"running": "green", "finished": "blue", "failed": "red", "interrupted": "yellow", "killed": "red"}
# The short name of the quantity in the catalogue, which takes longer to import than a thousand runs to list.
DISTORTION = "distortion"
# Spaces between columns, and before the lines under a run's row.
GAP = 3
INDENT = 2
COLUMNS = ("status", "method", "data set", "steps", "measured", "engine", "cadence", DISTORTION, "age")
# These columns are left out in a narrow terminal.
WIDE_ONLY = ("data set", "steps", "engine", "cadence")
NUMBERS = ("steps", "measured", DISTORTION, "age")
OF_ANY_LENGTH = ("method", "data set", "cadence")
# A column is not made narrower than this.
NARROWEST = 8
EMPTY = "No runs here. gradlens track SCRIPT makes one; gradlens demo makes three within a minute."


@dataclass(frozen=True)
class _Row:
    """A run in the list.

    Attributes:
        path: The run's folder.
        cells: Name of a column -> the run's text.
        color: Color of its status.
        troubles: A line for each thing that is wrong with the run.
        remarks: One paragraph that explains its numbers.
    """

    path: str
    cells: dict[str, str]
    color: str
    troubles: tuple[str, ...]
    remarks: str


def runs_text(
    listing: Sequence[tuple[Path, Overview | RunError]],
    now: float | None = None,
    width: int = WIDE,
    *,
    color: bool = False,
) -> str:
    """Returns the table of ``gradlens ls``. Growing runs come first, then the newest; broken ones come last, with the reason.

    Each run has a row. If its path has no room in the row, it stands above. Under the row, in full width, stand what is wrong
    with the run and what its numbers mean.

    Args:
        listing: The result of ``gradlens.analysis.kept_overview.overviews``.
        now: Unix seconds from which ages are counted; the present by default.
        width: Width of the terminal in characters; below 120, data set, steps, engine and cadence are left out.
        color: True to write colours, as ANSI codes.
    """
    if not listing:
        return "\n".join(wrapped(EMPTY, width)) + "\n"
    now = time.time() if now is None else now
    shown = [(path, found) for path, found in listing if isinstance(found, Overview)]
    shown.sort(key=lambda item: (not item[1].live, -item[1].started if item[1].started >= 0 else 0.0))
    rows = [_row(path, seen, now) for path, seen in shown]
    rows += [
        _Row(printable(str(path)), {"status": "unreadable"}, "red", (printable(cut(str(why), 160)),), "")
        for path, why in listing
        if not isinstance(why, Overview)
    ]
    columns = [name for name in COLUMNS if width >= WIDE or name not in WIDE_ONLY]
    notes = [[(line, "italic")] for note in _notes([seen for _, seen in shown]) for line in wrapped(note, width)]
    return joined([*_lines(rows, columns, width), *notes], color=color)


def _row(path: Path, seen: Overview, now: float) -> _Row:
    distortion, last_phase = headline_numbers(seen.headline)
    head = seen.headline
    troubles = [cut(seen.reason, 160)] if seen.reason else []
    troubles += [cut(text, 160) for text in seen.incomplete]
    troubles += [seen.nonfinite.partition("; ")[0]] if seen.nonfinite else []
    troubles += [seen.without_output] if seen.without_output else []
    remarks = [f"groups: {head.groups}"]
    remarks += [f"phase {head.phase}: {last_phase}"] if last_phase else []
    remarks += [head.apart] if head.apart else []
    remarks += [f"checksums: {seen.unproven}"] if seen.unproven else []
    if not head.few and (why := headline_without_interval(head)):
        remarks.append(why[0].lower() + why[1:].removesuffix("."))
    cells_of = {
        "status": seen.state,
        "method": seen.method,
        "data set": seen.dataset,
        "steps": f"{seen.steps:,}",
        "measured": f"{seen.measured:,}",
        "engine": seen.engine,
        "cadence": seen.cadence,
        DISTORTION: distortion,
        "age": span(max(now - seen.started, 0.0)) if seen.started >= 0 else "",
    }
    return _Row(
        printable(str(path)),
        {name: printable(text) for name, text in cells_of.items()},
        COLORS.get(seen.state, "white"),
        tuple(map(printable, troubles)),
        printable("; ".join(remarks)),
    )


def _lines(rows: Sequence[_Row], columns: Sequence[str], width: int) -> Iterable[StyledLine]:
    """Yields the head, and for each run its row and the lines above and under it."""
    widths = {name: max(cells(text) for text in (name, *(row.cells.get(name, "") for row in rows))) for name in columns}
    longest = max(cells(row.path) for row in rows)
    beside = longest + sum(widths.values()) + GAP * len(columns) < width
    inset = 1 if beside else INDENT
    _shrink(widths, width - inset - GAP * (len(columns) - 1))

    def table_row(path: str, texts: dict[str, str], styles: dict[str, str]) -> Iterable[StyledLine]:
        split = {name: wrapped(texts.get(name, ""), widths[name]) for name in columns}
        first = " " * inset + (_padded(path, longest, right=False) + " " * GAP if beside else "")
        for line in zip_longest(*split.values(), fillvalue=""):
            pieces = [(first, "")]
            for name, text in zip(columns, line, strict=True):
                padded = _padded(text, widths[name], right=name in NUMBERS)
                pieces += [(padded, styles.get(name, "")), (" " * GAP, "")]
            yield pieces
            first = " " * len(first)

    yield ()
    yield from table_row("run", {name: name for name in columns}, dict.fromkeys(columns, "bold"))
    yield (("─" * width, "dim"),)
    for row in rows:
        if not beside:
            yield from ([(f" {line}", "")] for line in wrapped(row.path, width - 1))
        yield from table_row(row.path, row.cells, {"status": row.color})
        for text, style in (*((trouble, "yellow") for trouble in row.troubles), (row.remarks, "dim")):
            if text:
                yield from ([(" " * (1 + INDENT) + line, style)] for line in wrapped(text, width - 1 - INDENT))
    yield ()


def _shrink(widths: dict[str, int], most: int) -> None:
    """Makes columns narrower whose texts may have any length, the widest one first, until all fit into ``most``."""
    while (over := sum(widths.values()) - most) > 0:
        widest, second, *_ = *sorted((widths[name] for name in OF_ANY_LENGTH if name in widths), reverse=True), 0
        if widest <= NARROWEST:
            return
        name = next(name for name in OF_ANY_LENGTH if widths.get(name) == widest)
        widths[name] = max(widest - over, min(second, widest - 1), NARROWEST)


def _padded(text: str, width: int, *, right: bool) -> str:
    blank = " " * (width - cells(text))
    return blank + text if right else text + blank


def _notes(shown: Sequence[Overview]) -> list[str]:
    """Returns lines that say what the numbers in the list mean."""
    notes = []
    if shown:
        last = ", and of its last phase" if any(seen.headline.phase for seen in shown) else ""
        notes.append(f"{DISTORTION} [95 % interval] of the whole run{last}; 0 = none")
    if groupings_differ(shown):
        notes.append(NOT_RANKED)
    if any(seen.headline.few for seen in shown):
        notes.append(f"~: of fewer than {FEW} measured steps, which say little")
    return notes
