"""Tables for the terminal: runs, one run, two runs compared."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.console import Group
from rich.markup import escape as escape_markup
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gradlens.analysis.distortion import distortion
from gradlens.analysis.facts import (
    incomplete_texts,
    lost_text,
    measured_text,
    nonfinite_text,
    overhead_text,
    span,
    training_steps,
)
from gradlens.analysis.figure1_claims import NOT_CORRECTED, by_statement, notes_of
from gradlens.analysis.headline import FEW, NOT_RANKED, Headline, groups_differ, headline, two_groups_text
from gradlens.analysis.quantities import filled_share
from gradlens.estimation.intervals import why_none
from gradlens.guards.error_text import in_one_line
from gradlens.guards.printable import printable
from gradlens.measure.schedule.cadence import Every
from gradlens.metrics.gram import REST

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gradlens.analysis.compare import Comparison, Difference
    from gradlens.analysis.figure1_claims import Claim
    from gradlens.estimation.intervals import Interval
    from gradlens.runlog import Run, RunError, RunStatus

COLORS = {"running": "green", "finished": "blue", "failed": "red", "interrupted": "yellow", "killed": "red"}
# Which norm of a group a claim is about.
PER = {"contribution": "; norm of its contribution", "mean": "; norm of its mean gradient"}
VERDICT_COLORS = {True: "green", False: "red", None: "yellow"}
# What is smaller, next to one, is the rounding of a difference or of an angle.
ROUNDING = 1e-12
# A table with more groups than this is longer than a screen.
MOST_GROUPS = 20
# A rest smaller than this part of the gradient is not worth a row.
SMALL_REST = 1e-3
# A terminal narrower than this shows fewer columns rather than cut ones.
WIDE = 120


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
    table.add_column("distortion", justify="right", no_wrap=True)
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
        notes.append("distortion: of the whole run, and of the last phase where there are several")
    if groups_differ(shown):
        notes.append(NOT_RANKED)
    if any(seen.few for seen in found):
        notes.append(f"~: of fewer than {FEW} measured steps, which say little")
    table.caption, table.caption_justify = "\n".join(notes) or None, "left"
    for path, why in broken:
        table.add_row(f"{escape(str(path))}\n[dim]{escape(_cut(why, 160))}[/]", "[red]unreadable[/]")
    return table


def _cells(path: Path, run: Run, status: RunStatus, seen: Headline, now: float) -> dict[str, str]:
    """Returns the row of a run by the columns' names."""
    meta = run.meta
    remarks = [_cut(text, 60) for text in (status.reason,) if text]
    remarks += [_cut(text, 100) for text in incomplete_texts(run)]
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
        "distortion": escape(headline_text(seen)),
        "age": span(max(now - meta.started, 0.0)) if meta.started is not None else "",
    }


def escape(text: str) -> str:
    """Returns a text that can neither style the table nor steer the terminal."""
    return escape_markup(printable(text))


def headline_text(seen: Headline) -> str:
    """Writes the distortion of a run and, where there are several phases, that of the last one."""
    few = "~" if seen.few else ""
    last = f" ({few}{seen.phase}: {number(seen.last_phase)})" if seen.phase else ""
    return f"{'' if last else few}{number(seen.distortion)}{last}"


def summary_table(run: Run) -> Table:
    """Returns the table at the end of a tracked training: group by group the means over the measured steps."""
    table = Table(
        box=box.SIMPLE_HEAD, title="Whose gradient did the model follow?", title_justify="left", pad_edge=False
    )
    table.add_column("group")
    for name in ("classes", "samples", "share of the update", "cosine", "norm", "mean norm"):
        table.add_column(name, justify="right")
    totals = np.nansum(run.counts, axis=0)
    whole = float(totals.sum())
    fractions = run.groups.fractions()
    for k, name in enumerate(run.groups.names[:MOST_GROUPS]):
        table.add_row(
            escape(name), f"{fractions[k]:.1%}", percent(totals[k] / whole if whole else math.nan),
            percent(_mean(filled_share(run, name))), number(_mean(run.cosine(name))), number(_mean(run.norm(name)), 0.0),
            number(_mean(run.norm(name, per="mean")), 0.0),
        )  # fmt: skip
    rest = _rest_row(run)
    if rest is not None:
        table.add_row(*rest)
    if len(run.groups) > MOST_GROUPS:
        table.add_row(f"[dim]... {len(run.groups) - MOST_GROUPS} more[/dim]")
    parts = [
        f"distortion {number(distortion(run))} (0 = none)",
        f"measured {measured_text(run)}{_too_few(run)}",
    ]
    overhead = overhead_text(run)
    apart = two_groups_text(run)
    measured = (f"{escape(apart)}\n" if apart else "") + "; ".join(
        [*parts, *([f"measuring cost {overhead}"] if overhead else [])]
    )
    measured += "".join(f"\n{text}" for text in (lost_text(run), nonfinite_text(run)) if text)
    table.caption = f"{measured}\nmean norm: size of the group's own mean gradient, norm x batch / its samples"
    if rest is not None:
        table.caption += (
            "\nrest: samples without a label of a group (ignored, or with no label at all), and what goes around the samples' "
            "outputs, such as a penalty on weights; a loss on other outputs counts for its groups once gradlens.observe(outputs, "
            "labels) names each of them"
        )
    table.caption_justify = "left"
    return table


def _too_few(run: Run) -> str:
    """Says that the means say little, and how to measure more, where that is possible."""
    if len(run) >= FEW:
        return ""
    possible = training_steps(run) >= FEW and run.meta.cadence != str(Every(1))
    return f", too few for means{'; --every 1 measures more' if possible else ''}"


def _rest_row(run: Run) -> tuple[str, ...] | None:
    """Returns the row of what belongs to no group, where that is more than a trace."""
    cosine, norm = _mean(run.cosine(REST)), _mean(run.norm(REST))
    if not norm > SMALL_REST * _mean(run.norm("all")):
        return None
    share = percent(_mean(filled_share(run, REST)))
    return ("[dim]rest (no group)[/dim]", "", "", share, number(cosine), number(norm, 0.0), "")


def comparison_tables(a: Run, b: Run, width: int = WIDE) -> list[RenderableType]:
    """Returns what ``gradlens compare`` prints: the claims of Figure 1 and the table of differences.

    Args:
        a: First run.
        b: Second run.
        width: Columns of the terminal; below 120, intervals stand below their values.

    Raises:
        PairError: No group is the same in both runs.
    """
    from gradlens.analysis.compare import compare

    found = compare(a, b)
    first = claims_table(found.claims, found.long_tailed) if found.claims else Text(f"No claims: {found.note}\n")
    notes = [Text(f"{note}\n", "yellow") for note in (found.mixed, found.nonfinite) if note]
    return [*notes, first, difference_table(found, width)]


def claims_table(claims: Sequence[Claim], long_tailed: str) -> RenderableType:
    """Returns each statement, and below it what it was measured by, with effect, interval and verdict.

    Args:
        claims: From ``figure1_claims``.
        long_tailed: Name of the run that plays the long-tailed one.
    """
    parts: list[RenderableType] = [
        Text(f"What the paper says of its Figure 1; long-tailed: {long_tailed}", style="italic"),
        Text("verdict, effect [95 % interval], what it was measured by\n", style="dim"),
    ]
    widest = max(len(_effect(claim)) for claim in claims)
    for same in by_statement(claims):
        measures = Table.grid(padding=(0, 2, 0, 0))
        measures.add_column(width=16, justify="right")  # two spaces and the longest verdict
        measures.add_column(width=widest, no_wrap=True)
        measures.add_column()
        for claim in same:
            measure = claim.measure + PER.get(claim.convention, "")
            measures.add_row(Text(claim.verdict, VERDICT_COLORS[claim.supported]), Text(_effect(claim)), Text(measure))
        parts += [Text(f"({same[0].panel}) {same[0].statement}", style="bold"), measures]
    explained = [f"Undecided: {note}." for note in notes_of(claims)]
    if any(claim.low is not None for claim in claims):
        explained.append(
            "Supported: the whole interval lies above 'no difference' (0, for ratios 1); contradicted: the whole interval lies "
            f"below it; undecided: the interval holds it. {NOT_CORRECTED}"
        )
    return Group(*parts, Text("\n" + "\n".join(explained) + "\n", style="dim italic"))


def _effect(claim: Claim) -> str:
    low_high = "" if claim.low is None or claim.high is None else f" [{number(claim.low)}, {number(claim.high)}]"
    return f"{number(claim.effect)}{low_high}"


def difference_table(comparison: Comparison, width: int = WIDE) -> Table:
    """Returns everything measured in both runs, and the difference.

    Args:
        comparison: What to show.
        width: Columns of the terminal; below 120, intervals stand below their values.
    """
    table = Table(
        box=box.SIMPLE_HEAD, title="Means over the measured steps [95 % interval]", title_justify="left", pad_edge=False
    )
    before = " [" if width >= WIDE else "\n["
    rows = [(row, [cell.replace(" [", before) for cell in difference_cells(row)]) for row in comparison.differences]
    table.add_column("")
    for i, name in enumerate((comparison.a, comparison.b, "difference")):
        widest = max((len(line) for _, cells in rows for line in cells[i].splitlines()), default=0)
        table.add_column(escape(name), justify="right", min_width=widest, overflow="fold")
    group: str | None = None
    for row, cells in rows:
        if row.group != group:
            group = row.group
            table.add_row(f"[bold]{escape(group or 'whole run')}[/bold]")
        a, b, delta = map(escape, cells)
        # The mark is for terminals and files without bold letters.
        table.add_row(
            Padding(Text(row.quantity), (0, 0, 0, 2)), a, b, f"[bold]{delta} *[/]" if row.clear else f"{delta}  "
        )
    why = why_none(x for row in comparison.differences for x in row.intervals)
    table.caption = "*: the interval of the difference leaves out 0" + (f"\n{why}" if why else "")
    table.caption_justify = "left"
    return table


def difference_cells(row: Difference) -> tuple[str, str, str]:
    """Returns both runs' means and their difference with intervals, as text."""
    return (
        interval_text(row.a, fraction=row.percent),
        interval_text(row.b, fraction=row.percent),
        difference_text(row.difference, (row.a, row.b), fraction=row.percent),
    )


def interval_text(x: Interval, *, fraction: bool) -> str:
    """Writes an estimate and its interval: fractions in percent, others however small they are."""
    write = percent if fraction else partial(number, rounding=0.0)
    return write(x.value) + _low_high(x, write)


def difference_text(x: Interval, means: Sequence[Interval], *, fraction: bool) -> str:
    """Writes a difference, with its sign, and its interval: differences of fractions in percentage points.

    Args:
        x: The difference.
        means: What it is the difference of: next to them rounding is zero.
        fraction: Whether these are fractions.
    """
    size = max((abs(mean.value) for mean in means if math.isfinite(mean.value)), default=0.0)
    write = _points if fraction else partial(number, rounding=ROUNDING * size)
    sign = "+" if 0 < x.value < math.inf else ""
    unit = " points" if fraction and math.isfinite(x.value) else ""
    return sign + write(x.value) + unit + _low_high(x, write)


def _low_high(x: Interval, write: Callable[[float], str]) -> str:
    return f" [{write(x.low)}, {write(x.high)}]" if x.measurable else ""


def _points(value: float) -> str:
    return percent(value).removesuffix("%")


def number(value: float | None, rounding: float = ROUNDING) -> str:
    """Writes a number with three or four significant places; "-" where there is none.

    Args:
        value: The number.
        rounding: What is smaller is written as zero.
    """
    if value is None or not math.isfinite(value):
        return "-"
    if value == 0 or abs(value) < rounding:
        return "0.000"
    if not 1e-3 <= abs(value) < 1e5:
        return f"{value:.2e}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def percent(value: float) -> str:
    """Writes a fraction in percent; "-" where there is none."""
    # Adding 0 turns the -0 that rounding leaves into 0.
    return f"{round(value, 3) + 0.0:.1%}" if math.isfinite(value) else "-"


def _mean(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    present = values[np.isfinite(values)]
    return float(present.mean()) if len(present) else math.nan


def _cut(text: str | None, most: int) -> str:
    text = " ".join((text or "").split())
    return text if len(text) <= most else text[: most - 3] + "..."
