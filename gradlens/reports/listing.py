"""The table of ``gradlens ls``: all runs in a folder."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from gradlens.analysis.durations import span
from gradlens.analysis.row import FEW, NOT_RANKED, Overview, groupings_differ
from gradlens.analysis.run_query import ListedRun
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
# So many characters of a note are shown.
MOST_NOTE = 300
# A column is not made narrower than this.
NARROWEST = 8
EMPTY = "No runs here. gradlens track SCRIPT makes one; gradlens demo makes three within a minute."


@dataclass(frozen=True)
class _Row:
    """A run in the list.

    Attributes:
        name: What the list calls the run: its folder, after its title if it has one.
        cells: Name of a column -> the run's text.
        color: Color of its status.
        troubles: A line for each thing that is wrong with the run.
        remarks: One paragraph that explains its numbers.
    """

    name: str
    cells: dict[str, str]
    color: str
    troubles: tuple[str, ...]
    remarks: str


def runs_text(
    runs: Sequence[ListedRun],
    broken: Mapping[Path, RunError] = MappingProxyType({}),
    now: float | None = None,
    width: int = WIDE,
    *,
    hidden: int = 0,
    color: bool = False,
) -> str:
    """Returns the table of ``gradlens ls``. The runs stand in their order; broken ones come last, with the reason.

    Each run has a row. If its name has no room in the row, it stands above, whole. Under the row, in full width, stand what is
    wrong with the run, what its numbers mean, and what people have written about it.

    Args:
        runs: The runs.
        broken: Folder -> error, for runs that cannot be read.
        hidden: How many archived and deleted runs are not among them.
        now: Unix seconds from which ages are counted; the present by default.
        width: Width of the terminal in characters; below 120, data set, steps, engine and cadence are left out.
        color: True to write colours, as ANSI codes.
    """
    notes = [*_notes([run.row for run in runs]), *_hidden(hidden)]
    if not runs and not broken:
        return "".join(f"{line}\n" for text in (notes or [EMPTY]) for line in wrapped(text, width))
    now = time.time() if now is None else now
    rows = [_row(run, now) for run in runs]
    rows += [
        _Row(printable(str(path)), {"status": "unreadable"}, "red", (printable(cut(str(why), 160)),), "")
        for path, why in broken.items()
    ]
    columns = [name for name in COLUMNS if width >= WIDE or name not in WIDE_ONLY]
    below: list[StyledLine] = [[(line, "italic")] for note in notes for line in wrapped(note, width)]
    return joined([*_lines(rows, columns, width), *below], color=color)


def newest_first(runs: Iterable[ListedRun]) -> list[ListedRun]:
    """Returns the runs in the order of lists: growing ones first, then the newest."""
    return sorted(runs, key=lambda run: (not run.row.live, -run.row.started if run.row.started >= 0 else 0.0))


def _row(run: ListedRun, now: float) -> _Row:
    seen, card = run.row, run.card
    distortion, last_phase = headline_numbers(seen.headline)
    head = seen.headline
    troubles = [cut(seen.reason, 160)] if seen.reason else []
    troubles += [cut(text, 160) for text in seen.incomplete]
    troubles += [seen.nonfinite.partition("; ")[0]] if seen.nonfinite else []
    troubles += [seen.without_output] if seen.without_output else []
    troubles += [card.problem] if card.problem else []
    remarks = [card.place] if card.place else []
    remarks += [f"tags: {', '.join(card.tags)}"] if card.tags else []
    remarks += [f"note: {cut(card.note, MOST_NOTE)}"] if card.note else []
    remarks += [f"groups: {head.groups}"]
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
        printable(f"{card.title} ({run.name})" if card.title else run.name),
        {name: printable(text) for name, text in cells_of.items()},
        COLORS.get(seen.state, "white"),
        tuple(map(printable, troubles)),
        printable("; ".join(remarks)),
    )


def _lines(rows: Sequence[_Row], columns: Sequence[str], width: int) -> Iterable[StyledLine]:
    """Yields the head, and for each run its row and the lines above and under it."""
    widths = {name: max(cells(text) for text in (name, *(row.cells.get(name, "") for row in rows))) for name in columns}
    longest = max(cells(row.name) for row in rows)
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
            yield [(f" {row.name}", "")]  # whole, even if the terminal breaks it: people copy it
        yield from table_row(row.name, row.cells, {"status": row.color})
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


def _hidden(count: int) -> list[str]:
    """Returns a line that says how many runs are not shown."""
    runs = "1 run is" if count == 1 else f"{count:,} runs are"
    return [f"{runs} archived or deleted and not shown; --all shows {'it' if count == 1 else 'them'}"] if count else []


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
