"""The table of ``gradlens ls``: all runs in a folder."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.cells import cell_len
from rich.console import Group
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from gradlens.analysis.facts import incomplete_texts, nonfinite_text, span, training_steps, unproven_text
from gradlens.analysis.headline import FEW, NOT_RANKED, Headline, groups_differ, headline
from gradlens.analysis.without_interval import headline_without_interval
from gradlens.analysis.without_output import without_output_text
from gradlens.guards.error_text import in_one_line
from gradlens.guards.printable import printable
from gradlens.metrics.catalogue import QUANTITIES
from gradlens.reports.terminal import WIDE, cut
from gradlens.reports.text import headline_numbers

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gradlens.runlog import Run, RunError, RunStatus

COLORS = {"running": "green", "finished": "blue", "failed": "red", "interrupted": "yellow", "killed": "red"}
DISTORTION = QUANTITIES["distortion"].short
# Spaces between columns, and before the lines under a run's row.
GAP = 3
INDENT = 2
COLUMNS = ("status", "method", "data set", "steps", "measured", "engine", "cadence", DISTORTION, "age")
# These columns are left out in a narrow terminal.
WIDE_ONLY = ("data set", "steps", "engine", "cadence")
NUMBERS = ("steps", "measured", DISTORTION, "age")
OF_ANY_LENGTH = ("method", "data set", "cadence")


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


def runs_table(
    listing: Sequence[tuple[Path, Run | RunError]], now: float | None = None, width: int = WIDE
) -> RenderableType:
    """Returns the table of ``gradlens ls``. Growing runs come first, then the newest; broken ones come last, with the reason.

    Each run has a row. If its path has no room in the row, it stands above. Under the row, in full width, stand what is wrong
    with the run and what its numbers mean.

    Args:
        listing: The result of ``list_runs``.
        now: Unix seconds from which ages are counted; the present by default.
        width: Width of the terminal in characters; below 120, data set, steps, engine and cadence are left out.
    """
    if not listing:
        return "No runs here. gradlens track SCRIPT makes one; gradlens demo makes three within a minute."
    now = time.time() if now is None else now
    opened = [(path, run, run.status) for path, run in listing if not isinstance(run, ValueError)]
    opened.sort(key=lambda item: (not item[2].live, -(item[1].meta.started or 0.0)))
    broken = [(path, str(error)) for path, error in listing if isinstance(error, ValueError)]
    shown: list[tuple[Run, Headline]] = []
    rows = []
    for path, run, status in opened:
        try:
            seen = headline(run)
            rows.append(_row(path, run, status, seen, now))
        except Exception as error:  # the other runs are still shown
            broken.append((path, f"it cannot be shown: {in_one_line(error)}"))
            continue
        shown.append((run, seen))
    rows += [
        _Row(printable(str(path)), {"status": "unreadable"}, "red", (printable(cut(why, 160)),), "")
        for path, why in broken
    ]
    notes = [Text(printable(note), "italic") for note in _notes(shown)]
    return Group(*_lines(rows, [name for name in COLUMNS if width >= WIDE or name not in WIDE_ONLY], width), *notes)


def _row(path: Path, run: Run, status: RunStatus, seen: Headline, now: float) -> _Row:
    meta = run.meta
    distortion, last_phase = headline_numbers(seen)
    troubles = [cut(status.reason, 160)] if status.reason else []
    troubles += [cut(text, 160) for text in incomplete_texts(run)]
    troubles += [text.partition("; ")[0] for text in (nonfinite_text(run),) if text]
    troubles += [text for text in (without_output_text(run),) if text]
    remarks = [f"groups: {seen.groups}"]
    remarks += [f"phase {seen.phase}: {last_phase}"] if last_phase else []
    remarks += [seen.apart] if seen.apart else []
    remarks += [f"checksums: {text}" for text in (unproven_text(run),) if text]
    if not seen.few and (why := headline_without_interval(seen)):
        remarks.append(why[0].lower() + why[1:].removesuffix("."))
    cells = {
        "status": status.state,
        "method": meta.method or "",
        "data set": meta.dataset or "",
        "steps": f"{training_steps(run):,}",
        "measured": f"{len(run):,}",
        "engine": meta.engine or "",
        "cadence": meta.cadence or "",
        DISTORTION: distortion,
        "age": span(max(now - meta.started, 0.0)) if meta.started is not None else "",
    }
    return _Row(
        printable(str(path)),
        {name: printable(text) for name, text in cells.items()},
        COLORS.get(status.state, "white"),
        tuple(map(printable, troubles)),
        printable("; ".join(remarks)),
    )


def _lines(rows: Sequence[_Row], columns: Sequence[str], width: int) -> Iterable[RenderableType]:
    """Yields the head, and for each run its row and the lines above and under it."""
    widths = {
        name: max(cell_len(text) for text in (name, *(row.cells.get(name, "") for row in rows))) for name in columns
    }
    longest = max(cell_len(row.path) for row in rows)
    beside = longest + sum(widths.values()) + GAP * len(columns) < width

    def line(path: str, cells: dict[str, Text]) -> Table:
        table = Table.grid(padding=(0, GAP, 0, 0))
        if beside:
            table.add_column(width=longest, no_wrap=True)
        for name in columns:
            justify: Literal["left", "right"] = "right" if name in NUMBERS else "left"
            table.add_column(width=widths[name], justify=justify, no_wrap=name not in OF_ANY_LENGTH, overflow="fold")
        table.add_row(*([Text(path)] if beside else []), *(cells.get(name, Text("")) for name in columns))
        return table

    inset = 1 if beside else INDENT
    yield Text("")
    yield Padding(line("run", {name: Text(name, "bold") for name in columns}), (0, 0, 0, inset), expand=False)
    yield Rule(style="dim")
    for row in rows:
        if not beside:
            yield Padding(Text(row.path, overflow="fold"), (0, 0, 0, 1), expand=False)
        cells = {name: Text(text, row.color if name == "status" else "") for name, text in row.cells.items()}
        yield Padding(line(row.path, cells), (0, 0, 0, inset), expand=False)
        for text, style in (*((trouble, "yellow") for trouble in row.troubles), (row.remarks, "dim")):
            if text:
                yield Padding(Text(text, style), (0, 0, 0, 1 + INDENT), expand=False)
    yield Text("")


def _notes(shown: Sequence[tuple[Run, Headline]]) -> list[str]:
    """Returns lines that say what the numbers in the list mean."""
    notes = []
    if shown:
        last = ", and of its last phase" if any(seen.phase for _, seen in shown) else ""
        notes.append(f"{DISTORTION} [95 % interval] of the whole run{last}; 0 = none")
    if groups_differ([run for run, _ in shown]):
        notes.append(NOT_RANKED)
    if any(seen.few for _, seen in shown):
        notes.append(f"~: of fewer than {FEW} measured steps, which say little")
    return notes
