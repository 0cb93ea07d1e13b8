"""The table that is printed at the end of a tracked training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.table import Table

from gradlens.analysis.distortion import distortion_interval
from gradlens.analysis.facts import lost_text, measured_text, nonfinite_text, overhead_text, training_steps
from gradlens.analysis.headline import two_groups_text
from gradlens.analysis.quantities import series_of
from gradlens.analysis.row import FEW
from gradlens.analysis.without_interval import without_interval
from gradlens.analysis.without_output import without_output, without_output_text
from gradlens.measure.schedule.cadence import Every
from gradlens.metrics.catalogue import of_groups
from gradlens.metrics.gram import REST
from gradlens.reports.terminal import escape
from gradlens.reports.text import interval_text, mean_text, percent

if TYPE_CHECKING:
    from gradlens.runlog import Run

# The table has at most this many groups: more would not fit on a screen.
MOST_GROUPS = 20
# The rest has a row only if it is larger than this part of the gradient.
SMALL_REST = 1e-3


def summary_table(run: Run) -> Table:
    """Returns a table with the means over the measured steps for each group.

    If there are only a few steps, a line under the title says that means are not reliable.
    """
    title = "Whose gradient did the model follow?"
    few = _too_few(run)
    table = Table(box=box.SIMPLE_HEAD, title=title + few, title_justify="left", pad_edge=False)
    table.add_column("group")
    shown = of_groups("gradient", run.names)
    for head in (run.groups.units, "samples", *(quantity.short for quantity in shown)):
        table.add_column(head, justify="right")
    totals = np.nansum(run.counts, axis=0)
    whole = float(totals.sum())
    fractions, beyond = run.groups.fractions(), without_output(run)
    for k, name in enumerate(run.groups.names[:MOST_GROUPS]):
        table.add_row(
            escape(name) + (" *" if name in beyond else ""), f"{fractions[k]:.1%}",
            percent(totals[k] / whole if whole else math.nan),
            *(mean_text(quantity, _mean(series_of(run, quantity, name))) for quantity in shown),
        )  # fmt: skip
    rest = _rest_row(run)
    if rest is not None:
        table.add_row(*rest)
    if len(run.groups) > MOST_GROUPS:
        table.add_row(f"[dim]... {len(run.groups) - MOST_GROUPS} more[/dim]")
    overhead = overhead_text(run)
    found = distortion_interval(run)
    parts = [
        f"distortion {'~' if few else ''}{interval_text(found, fraction=False)} (0 = none)",
        *([] if few else [f"measured {measured_text(run)}"]),
        *([f"measuring cost {overhead}"] if overhead else []),
    ]
    notes = [two_groups_text(run), "; ".join(parts), lost_text(run), nonfinite_text(run)]
    notes += [f"*: {text}" for text in (without_output_text(run),) if text]
    notes += [] if few else [without_interval([("distortion", "", found)])]
    notes.append("mean norm: size of the group's own mean gradient, norm x batch / its samples")
    table.caption = escape("\n".join(filter(None, notes)))
    if rest is not None:
        table.caption += (
            "\nrest: samples without a label of a group (ignored, or with no label at all), and what goes around the samples' "
            "outputs, such as a penalty on weights; a loss on other outputs counts for its groups once gradlens.observe(outputs, "
            "labels) names each of them"
        )
    table.caption_justify = "left"
    return table


def _too_few(run: Run) -> str:
    """Returns a line that says that there are too few steps, and how to measure more if that is possible; else ""."""
    if len(run) >= FEW:
        return ""
    possible = training_steps(run) >= FEW and run.meta.cadence != str(Every(1))
    return f"\nmeasured {measured_text(run)}, too few for means{'; --every 1 measures more' if possible else ''}"


def _rest_row(run: Run) -> tuple[str, ...] | None:
    """Returns the row of the rest, which belongs to no group; None if it is not larger than SMALL_REST."""
    if not _mean(run.norm(REST)) > SMALL_REST * _mean(run.norm("all")):
        return None
    cells = [
        mean_text(quantity, _mean(series_of(run, quantity, REST))) if quantity.of == "vector" else ""
        for quantity in of_groups("gradient", run.names)
    ]
    return ("[dim]rest (no group)[/dim]", "", "", *cells)


def _mean(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    present = values[np.isfinite(values)]
    return float(present.mean()) if len(present) else math.nan
