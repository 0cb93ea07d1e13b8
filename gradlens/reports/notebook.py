"""The HTML that notebooks show for a run, a measurement and class groups: a short table, and a figure if plotly is installed."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable, Sequence
from functools import singledispatch
from typing import TYPE_CHECKING, Any

import numpy as np

from gradlens.analysis.facts import incomplete_texts, measured_text, nonfinite_text
from gradlens.analysis.headline import headline
from gradlens.analysis.quantities import series_of
from gradlens.analysis.two_runs import sample_shares
from gradlens.class_ids import ranges_text
from gradlens.groups import ClassGroups
from gradlens.metrics.catalogue import of_groups
from gradlens.metrics.gram import REST
from gradlens.metrics.measurement import Measurement
from gradlens.reports.text import headline_text, mean_text, number, percent
from gradlens.runlog import Run

if TYPE_CHECKING:
    from types import ModuleType

# The most groups of a table, and of a figure with a row for each group.
MOST_GROUPS = 12


@singledispatch
def page(shown: object) -> str:
    """Returns the HTML that a notebook shows for an object.

    Raises:
        TypeError: The object is no Run, Measurement or ClassGroups.
    """
    raise TypeError(
        f"a notebook shows no page of a {type(shown).__name__}; it does of Run, Measurement and ClassGroups"
    )


@page.register
def _of_run(run: Run) -> str:
    samples, fractions = sample_shares(run), run.groups.fractions()
    shown = of_groups("gradient", run.names)
    rows = [
        [
            name,
            percent(float(fraction)),
            percent(samples[name]),
            *(mean_text(quantity, _mean(series_of(run, quantity, name))) for quantity in shown),
        ]
        for name, fraction in zip(run.groups.names, fractions, strict=True)
    ]
    table = _table(("group", run.groups.units, "samples", *(quantity.short for quantity in shown)), rows)
    facts = f"{run.status.state}, measured {measured_text(run)}; distortion {headline_text(headline(run))}"
    told = [facts, *(text for text in (nonfinite_text(run), *incomplete_texts(run)) if text)]
    figure = _figure(lambda figures: figures.shares(run)) if len(run) else ""
    return _page(f"Run {run.name}", told, table, figure)


@page.register
def _of_measurement(found: Measurement) -> str:
    total, shown = float(found.counts.sum()), of_groups("gradient", found.names)
    rows = [
        [
            name,
            f"{count:g}",
            percent(float(count) / total if total else math.nan),
            *(mean_text(quantity, found.quantity(quantity.name, name)) for quantity in shown),
        ]
        for name, count in zip(found.groups, found.counts, strict=True)
    ]
    of_rest = [mean_text(q, found.quantity(q.name, REST)) if q.of == "vector" else "" for q in shown]
    rest = [REST, "", "", *of_rest]
    head = ("group", "samples", "of the samples", *(quantity.short for quantity in shown))
    told = [f"loss {number(found.total_loss)}, norm of the gradient {number(found.norm())}"]
    if found.nonfinite():
        told.append("the gradient is not finite")
    figure = _figure(lambda figures: figures.measured_shares(found)) if len(found.groups) <= MOST_GROUPS else ""
    return _page(f"Measurement of step {found.step:,}", told, _table(head, rows, [rest]), figure)


@page.register
def _of_groups(groups: ClassGroups) -> str:
    rows = [
        [name, f"{len(ids):,}", percent(float(part)), ranges_text(ids)]
        for name, ids, part in zip(groups.names, groups.classes, groups.fractions(), strict=True)
    ]
    units = groups.units
    outside = groups.num_classes - sum(map(len, groups.classes))
    told = [f"{groups.num_classes:,} {units}" + (f", {outside:,} of them in no group" if outside else ""), groups.rule]
    figure = _figure(lambda figures: figures.group_classes(groups)) if len(groups) <= MOST_GROUPS else ""
    ids = "class ids" if groups.members is None else "ids"
    return _page(f"Groups of {units}", told, _table(("group", units, "of the grouped", ids), rows), figure)


def _figure(draw: Callable[[ModuleType], Any]) -> str:
    """Returns the HTML of a figure; if it cannot be drawn, the reason; if plotly is not installed, ""."""
    try:
        from gradlens import figures
        from gradlens.reports.notebook_figure import figure_html
    except ImportError:
        return ""
    try:
        return figure_html(draw(figures))
    except figures.FigureError as error:
        return f"<p>{_text(error)}</p>"


def _page(title: str, told: Iterable[str], table: str, figure: str) -> str:
    lines = "".join(f"<div>{_text(line)}</div>" for line in told)
    return f'<div class="gradlens"><b>{_text(title)}</b>{lines}{table}</div>{figure}'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], last: Sequence[Sequence[str]] = ()) -> str:
    """Returns an HTML table of texts, which are escaped here. It has the first MOST_GROUPS of ``rows``, and all of ``last``."""
    more = [[f"… {len(rows) - MOST_GROUPS:,} more"]] if len(rows) > MOST_GROUPS else []
    shown = [*rows[:MOST_GROUPS], *more, *last]
    top = "".join(f"<th>{_text(cell)}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in shown)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _mean(values: Any) -> float:
    finite = np.asarray(values)[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else math.nan


def _text(value: object) -> str:
    return html.escape(str(value), quote=True)
