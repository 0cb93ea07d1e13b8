"""The tables of ``gradlens compare``: the claims of Figure 1, and the differences of two runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gradlens.analysis.figure1_claims import NOT_CORRECTED, by_statement, notes_of
from gradlens.analysis.without_interval import rows_without_interval
from gradlens.reports.terminal import WIDE, escape
from gradlens.reports.text import difference_cells, number

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gradlens.analysis.compare import Comparison
    from gradlens.analysis.figure1_claims import Claim
    from gradlens.runlog import Run

# Words that say which norm of a group a claim uses.
PER = {"contribution": "; norm of its contribution", "mean": "; norm of its mean gradient"}
VERDICT_COLORS = {True: "green", False: "red", None: "yellow"}


def comparison_tables(a: Run, b: Run, width: int = WIDE) -> list[RenderableType]:
    """Returns the output of ``gradlens compare``: the claims of Figure 1 and the table of differences.

    Args:
        a: First run.
        b: Second run.
        width: Width of the terminal in characters; below 120, intervals stand under their values.

    Raises:
        PairError: No group is the same in both runs.
    """
    from gradlens.analysis.compare import compare

    found = compare(a, b)
    first = claims_table(found.claims, found.long_tailed) if found.claims else Text(f"No claims: {found.note}\n")
    notes = [Text(f"{note}\n", "yellow") for note in (found.mixed, found.nonfinite) if note]
    return [*notes, first, difference_table(found, width)]


def claims_table(claims: Sequence[Claim], long_tailed: str) -> RenderableType:
    """Returns each statement of the paper, and under it each way to measure it, with verdict, effect and interval.

    Args:
        claims: The claims of ``figure1_claims``.
        long_tailed: Name of the run that is taken as the long-tailed one.
    """
    parts: list[RenderableType] = [
        Text(f"What the paper says of its Figure 1; long-tailed: {long_tailed}", style="italic"),
        Text("verdict, effect [95 % interval], what it was measured by\n", style="dim"),
    ]
    notes = notes_of(claims)
    widest = max(len(_effect(claim)) for claim in claims)
    for same in by_statement(claims):
        measures = Table.grid(padding=(0, 2, 0, 0))
        # The width is two spaces, the longest verdict and its footnote.
        measures.add_column(width=18 if notes else 16, justify="right")
        measures.add_column(width=widest, no_wrap=True)
        measures.add_column()
        for claim in same:
            measure = claim.measure + PER.get(claim.convention, "")
            footnote = f" ({notes.index(claim.note) + 1})" if claim.note else ""
            verdict = Text(claim.verdict + footnote, VERDICT_COLORS[claim.supported])
            measures.add_row(verdict, Text(_effect(claim)), Text(measure))
        parts += [Text(f"({same[0].panel}) {same[0].statement}", style="bold"), measures]
    explained = [f"({place}) Undecided: {note}." for place, note in enumerate(notes, 1)]
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
    """Returns a table with all quantities of both runs and their differences.

    Args:
        comparison: The comparison of the runs.
        width: Width of the terminal in characters; below 120, intervals stand under their values.
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
        # The star is for terminals and files without bold letters.
        table.add_row(
            Padding(Text(row.quantity), (0, 0, 0, 2)), a, b, f"[bold]{delta} *[/]" if row.clear else f"{delta}  "
        )
    why = rows_without_interval((comparison.a, comparison.b, "difference"), comparison.differences)
    notes = ("*: the interval of the difference leaves out 0", comparison.paired.capitalize(), escape(why))
    table.caption = "\n".join(filter(None, notes))
    table.caption_justify = "left"
    return table
