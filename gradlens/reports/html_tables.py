"""The tables of the HTML report: runs side by side, the claims of Figure 1, the differences of two runs."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from gradlens.analysis.facts import lost_text, nonfinite_text
from gradlens.analysis.figure1_claims import NOT_CORRECTED, by_statement, notes_of
from gradlens.analysis.headline import groups_differ, headline, two_groups_text
from gradlens.analysis.quantities import filled_share
from gradlens.analysis.row import NOT_RANKED
from gradlens.analysis.without_interval import headline_without_interval, rows_without_interval
from gradlens.analysis.without_output import without_output_text
from gradlens.metrics.catalogue import QUANTITIES
from gradlens.reports.text import difference_cells, headline_text, number, percent

if TYPE_CHECKING:
    from gradlens.analysis.compare import Comparison
    from gradlens.analysis.figure1_claims import Claim
    from gradlens.runlog import Run

# The CSS class of each verdict.
MARKS = {True: "yes", False: "no", None: "open"}


def side_by_side(runs: Sequence[Run]) -> str:
    """Returns a table with a row for each run, and under it notes about what is wrong with the runs."""
    rows = []
    seen = [(run.name, headline(run)) for run in runs]
    for run, (_, standing) in zip(runs, seen, strict=True):
        groups = run.groups.names[:6]
        totals = run.counts.sum(0)
        samples = [float(x) / float(totals.sum()) if totals.sum() else math.nan for x in totals]
        shares = [_mean(filled_share(run, name)) for name in groups]
        parts = "; ".join(
            f"{escaped(name)} {percent(n)} of the samples, {percent(s)} of the update"
            for name, n, s in zip(groups, samples, shares, strict=False)
        )
        more = f"; {len(run.groups) - 6} more groups" if len(run.groups) > 6 else ""
        if told := two_groups_text(run):
            parts, more = escaped(told), ""
        cells = (
            run.status.state,
            run.meta.method or "",
            run.meta.dataset or "",
            f"{len(run):,}",
            headline_text(standing),
        )
        rows.append([escaped(run.name), *map(escaped, cells), parts + more])
    head = (
        "run",
        "status",
        "method",
        "data set",
        "measured steps",
        QUANTITIES["distortion"].short,
        "who was in the batches, whose was the update",
    )
    broken = "".join(
        f'<p class="note">{escaped(run.name)}: {escaped(text)}.</p>'
        for run in runs
        for text in (lost_text(run), nonfinite_text(run), without_output_text(run), *run.warnings)
        if text
    )
    why = "".join(
        f'<p class="note">{escaped(name)}: {escaped(text)}</p>'
        for name, standing in seen
        if (text := headline_without_interval(standing))
    )
    units = escaped(" or ".join(dict.fromkeys(run.groups.units for run in runs)))
    differ = f'<p class="note">{escaped(NOT_RANKED)}.</p>' if groups_differ(runs) else ""
    return table(head, rows, numeric=(4, 5)) + (
        f'{broken}{differ}<p class="note">Distortion, of the whole run (and of its last phase, where there are several): half '
        f"the distance between the groups’ shares of the update and of the {units}; 0 = every "
        f"group steers the update in proportion to its {units}. In brackets its 95 % interval.</p>{why}"
    )


def claims_table(claims: Sequence[Claim]) -> str:
    """Returns a table of the paper's statements about Figure 1, with effects, intervals and verdicts."""
    rows = []
    notes = notes_of(claims)
    for same in by_statement(claims):
        for place, claim in enumerate(same):
            interval = "" if claim.low is None or claim.high is None else f"{number(claim.low)} to {number(claim.high)}"
            per = "" if claim.convention == "both" else claim.convention
            panel, statement = ("", "") if place else (claim.panel, claim.statement)
            cells = (panel, statement, claim.measure, per, number(claim.effect), interval)
            footnote = f"<sup>{notes.index(claim.note) + 1}</sup>" if claim.note else ""
            rows.append(
                [*map(escaped, cells), f'<span class="{MARKS[claim.supported]}">{claim.verdict}</span>{footnote}']
            )
    head = ("panel", "statement", "measured as", "norms per", "effect", "95 % interval", "verdict")
    footnotes = [f'<p class="note"><sup>{at}</sup> {escaped(note)}</p>' for at, note in enumerate(notes, 1)]
    return (
        table(head, rows, numeric=(4, 5))
        + "".join(footnotes)
        + '<p class="note">Supported: the whole interval lies above “no difference”, which is 0 for differences and '
        "correlations and 1 for ratios; contradicted: the whole interval lies below it; undecided: it holds it. "
        f"{NOT_CORRECTED} Fluctuation: deviation from the running mean over a twentieth of the run; ratios compare geometric "
        "means of their sizes. Intervals (cosine estimator of the long-run variance, Student’s t) say how sure the averages of "
        "these two runs are, not how another seed would come out.</p>"
    )


def differences_table(found: Comparison) -> str:
    """Returns a table with all quantities of both runs and their differences."""
    rows: list[list[str]] = []
    group: str | None = None
    for row in found.differences:
        if row.group != group:
            group = row.group
            rows.append([f"<b>{escaped(group or 'whole run')}</b>", "", "", ""])
        a, b, delta = (escaped(cell) for cell in difference_cells(row))
        rows.append([escaped(row.quantity), a, b, f"<b>{delta}</b>" if row.clear else delta])
    head = ("mean over the measured steps [95 % interval]", found.a, found.b, "difference")
    why = rows_without_interval((found.a, found.b, "difference"), found.differences)
    paired = f"{found.paired.capitalize()}. " if found.paired else ""
    return (
        table(head, rows, numeric=(1, 2, 3))
        + f'<p class="note">Bold: the interval of the difference leaves out 0. {paired}{escaped(why)}</p>'
    )


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[int] = (), *, narrow: bool = False
) -> str:
    """Returns an HTML table.

    Args:
        head: Texts of the head, which are escaped here; all empty: no head.
        rows: The cells, which must be HTML already.
        numeric: Indices of the columns with numbers.
        narrow: Whether the table is as narrow as its texts.
    """

    def cell(tag: str, index: int, inner: str) -> str:
        return f'<{tag} class="n">{inner}</{tag}>' if index in numeric else f"<{tag}>{inner}</{tag}>"

    top = "".join(cell("th" if text else "td", i, escaped(text)) for i, text in enumerate(head)) if any(head) else ""
    body = "".join(f"<tr>{''.join(cell('td', i, inner) for i, inner in enumerate(row))}</tr>" for row in rows)
    kind = ' class="facts"' if narrow else ""
    header = f"<thead><tr>{top}</tr></thead>" if top else ""
    return f'<div class="scroll"><table{kind}>{header}<tbody>{body}</tbody></table></div>'


def escaped(value: object) -> str:
    """Returns a value as text that is safe in HTML, also in attributes."""
    return html.escape(str(value), quote=True)


def _mean(values: Any) -> float:
    present = [float(v) for v in values if math.isfinite(v)]
    return sum(present) / len(present) if present else math.nan
