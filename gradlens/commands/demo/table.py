"""The tables of the demo: means of runs or phases side by side, and the claims of Figure 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table

from gradlens.analysis.distortion import distortion_interval
from gradlens.analysis.figure1_claims import VERDICTS, Claim
from gradlens.analysis.quantities import series_of
from gradlens.estimation.interval import Interval
from gradlens.metrics.catalogue import QUANTITIES, Quantity, of_groups
from gradlens.runlog import Run


@dataclass(frozen=True)
class DemoColumn:
    """A column of the table: some measured steps of a run.

    Attributes:
        title: Title of the column.
        training: Training whose accuracy is shown in the column; None if none is shown.
        run: The run.
        rows: Rows of its measured steps.
    """

    title: str
    training: str | None
    run: Run
    rows: slice

    def mean(self, quantity: Quantity, *of: str) -> float:
        """Returns the mean of a quantity over the column's steps; NaN if no value is finite.

        Args:
            quantity: The quantity.
            *of: The group or groups that it is about.
        """
        values = series_of(self.run, quantity, *of)[self.rows]
        finite = values[np.isfinite(values)]
        return float(finite.mean()) if len(finite) else float("nan")

    def distortion(self) -> Interval:
        """Returns ``gradlens.distortion`` over the column's steps with its interval."""
        steps = self.run.steps[self.rows]
        if not len(steps):
            return Interval.none(float("nan"), 0)
        return distortion_interval(self.run, int(steps[0]), int(steps[-1]) + 1)

    def samples(self, group: str) -> float:
        """Returns the group's share of the samples in the column's steps."""
        totals = self.run.counts[self.rows].sum(0)
        return float(totals[self.run.groups.names.index(group)] / totals.sum())


def phases_of(training: str, run: Run) -> list[DemoColumn]:
    """Returns a column for each phase of a run. Only the last one shows the accuracy of the training."""
    steps = np.asarray(run.steps)
    columns = []
    for phase in run.phases:
        stop = len(steps) if phase.end is None else int(np.searchsorted(steps, phase.end))
        rows = slice(int(np.searchsorted(steps, phase.start)), stop)
        owner = training if phase is run.phases[-1] or phase.end is None else None
        columns.append(DemoColumn(f"{training} {phase.name}", owner, run, rows))
    return columns


def comparison(columns: Sequence[DemoColumn], accuracies: dict[str, dict[str, float]]) -> Table:
    """Returns the table of means: rows group by group, the columns side by side.

    Args:
        columns: The columns.
        accuracies: Training -> test accuracy in percent of each group.
    """
    title = "Whose gradient does the model follow? (means over the measured steps)"
    table = Table(box=box.SIMPLE, title=title, title_justify="left", pad_edge=False)
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column.title.replace("-", "-\n"), justify="right", no_wrap=True)
    groups = columns[0].run.groups

    def row(text: str, quantity: Quantity, *of: str) -> None:
        digits = 4 if quantity.needs else 2  # a step changes a loss by little
        table.add_row(text, *(_number(column.mean(quantity, *of), digits) for column in columns))

    for group, fraction in zip(groups.names, groups.fractions(), strict=True):
        table.add_row(
            f"[bold]{group}[/bold] ({fraction:.0%} of the classes): samples",
            *(f"{column.samples(group):.1%}" for column in columns),
        )
        for quantity in of_groups("gradient", [name for column in columns for name in column.run.names]):
            row(f"  {quantity.title}", quantity, group)
        table.add_row(
            "  test accuracy (%)",
            *("-" if s.training is None else _number(accuracies[s.training][group], 1) for s in columns),
            end_section=True,
        )
    first, second = groups.names[:2]
    row("conflict of the two (cosine)", QUANTITIES["conflict"], first, second)
    found = [column.distortion() for column in columns]
    table.add_row("[bold]distortion[/bold] (0 = none)", *(_number(x.value, 3) for x in found))
    table.add_row("  its 95 % interval", *(f"[{x.low:.3f},\n{x.high:.3f}]" if x.measurable else "-" for x in found))
    return table


def claims_summary(claims: Sequence[Claim]) -> Table:
    """Returns a table with each statement of the paper's Figure 1, and how many of its measures have which verdict."""
    measured: dict[tuple[str, str], list[bool | None]] = {}
    for claim in claims:
        measured.setdefault((claim.panel, claim.statement), []).append(claim.supported)
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("What the paper's Figure 1 says")
    table.add_column("here", no_wrap=True)
    for (panel, statement), found in measured.items():
        counts = {word: found.count(key) for key, word in VERDICTS.items()}
        if len(found) == 1:
            verdict = VERDICTS[found[0]]
        else:
            said = ", ".join(f"{n} {word}" for word, n in counts.items() if n)
            verdict = f"of {len(found)} measures {said}"
        table.add_row(escape(f"({panel}) {statement}"), verdict)
    return table


def change_text(phase: str, change: Interval) -> str:
    """Returns a text that says how the distortion of a phase differs from that of the long-tailed run, with a verdict.

    Args:
        phase: Name of the phase.
        change: Distortion of the phase minus that of the long-tailed run, with its interval.
    """
    if not change.measurable:
        verdict = f"undecided: {change.why}"
    elif change.high < 0:
        verdict = "it falls"
    elif change.low > 0:
        verdict = "it rises"
    else:
        verdict = "undecided: the interval holds 0"
    ends = f" [{change.low:+.3f}, {change.high:+.3f}]" if change.measurable else ""
    return f"Distortion, {phase} less the long-tailed run: {change.value:+.3f}{ends}: {verdict} (over the steps of one seed)"


def _number(value: float, digits: int) -> str:
    return "-" if np.isnan(value) else f"{value:.{digits}f}"
