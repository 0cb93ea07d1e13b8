"""The table for the terminal of all runs in a folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from gradlens.analysis.facts import incomplete_texts, nonfinite_text, span, training_steps
from gradlens.analysis.headline import FEW, NOT_RANKED, Headline, groups_differ, headline
from gradlens.guards.error_text import in_one_line
from gradlens.metrics.catalogue import QUANTITIES
from gradlens.reports.terminal import WIDE, cut, escape
from gradlens.reports.text import headline_text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gradlens.runlog import Run, RunError, RunStatus

COLORS = {"running": "green", "finished": "blue", "failed": "red", "interrupted": "yellow", "killed": "red"}

DISTORTION = QUANTITIES["distortion"].short


def runs_table(
    listing: Sequence[tuple[Path, Run | RunError]], now: float | None = None, width: int = WIDE
) -> RenderableType:
    """Returns the table of ``gradlens ls``: live runs first, then the latest; broken folders last, with the reason.

    Args:
        listing: From ``list_runs``.
        now: Unix seconds that ages are counted from; the present by default.
        width: Columns of the terminal; below 120, data set, steps, engine and cadence are left out.
    """
    if not listing:
        return "No runs here. gradlens track SCRIPT makes one; gradlens demo makes three within a minute."
    now = time.time() if now is None else now
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("run", overflow="fold")
    table.add_column("status", no_wrap=True)
    table.add_column("method", no_wrap=True)
    if width >= WIDE:
        table.add_column("data set", overflow="fold")
        table.add_column("steps", justify="right", no_wrap=True)
    table.add_column("measured", justify="right", no_wrap=True)
    if width >= WIDE:
        table.add_column("engine")
        table.add_column("cadence")
    table.add_column(DISTORTION, justify="right", no_wrap=True)
    table.add_column("age", justify="right", no_wrap=True)
    opened = [(path, run, run.status) for path, run in listing if not isinstance(run, ValueError)]
    found: list[Headline] = []
    opened.sort(key=lambda item: (not item[2].live, -(item[1].meta.started or 0.0)))
    broken = [(path, str(error)) for path, error in listing if isinstance(error, ValueError)]
    shown = []
    for path, run, status in opened:
        try:
            seen = headline(run)
            cells = _cells(path, run, status, seen, now)
        except Exception as error:  # one bad run never takes down the others
            broken.append((path, f"it cannot be shown: {in_one_line(error)}"))
            continue
        shown.append(run)
        found.append(seen)
        table.add_row(*(cells[str(column.header)] for column in table.columns))
    notes = []
    if any(seen.phase for seen in found):
        notes.append(f"{DISTORTION}: of the whole run, and of the last phase where there are several")
    if groups_differ(shown):
        notes.append(NOT_RANKED)
    if any(seen.few for seen in found):
        notes.append(f"~: of fewer than {FEW} measured steps, which say little")
    table.caption, table.caption_justify = "\n".join(notes) or None, "left"
    for path, why in broken:
        table.add_row(f"{escape(str(path))}\n[dim]{escape(cut(why, 160))}[/]", "[red]unreadable[/]")
    return table


def _cells(path: Path, run: Run, status: RunStatus, seen: Headline, now: float) -> dict[str, str]:
    """Returns the row of a run by the columns' names."""
    meta = run.meta
    remarks = [cut(text, 60) for text in (status.reason,) if text]
    remarks += [cut(text, 100) for text in incomplete_texts(run)]
    remarks += [text.partition("; ")[0] for text in (nonfinite_text(run),) if text]
    remarks += [f"groups: {seen.groups}", *([seen.apart] if seen.apart else [])]
    return {
        "run": escape(str(path)) + "".join(f"\n[dim]{escape(remark)}[/]" for remark in remarks),
        "status": f"[{COLORS.get(status.state, 'white')}]{escape(status.state)}[/]",
        "method": escape(meta.method or ""),
        "data set": escape(meta.dataset or ""),
        "steps": f"{training_steps(run):,}",
        "measured": f"{len(run):,}",
        "engine": escape(meta.engine or ""),
        "cadence": escape(meta.cadence or ""),
        DISTORTION: escape(headline_text(seen)),
        "age": span(max(now - meta.started, 0.0)) if meta.started is not None else "",
    }
