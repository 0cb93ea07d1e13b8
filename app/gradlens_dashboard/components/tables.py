"""Tables of texts and numbers as plain HTML, which works with screen readers and phones. Every cell is escaped."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence

import streamlit as st

from gradlens.analysis.compare import Difference
from gradlens.analysis.facts import facts
from gradlens.analysis.figure1_claims import NOT_CORRECTED, Claim, by_statement, notes_of
from gradlens.analysis.overview import last_accuracy
from gradlens.analysis.phase_story import StoryRow
from gradlens.analysis.without_interval import rows_without_interval
from gradlens.figures import evaluated_names
from gradlens.reports.text import difference_cells, difference_text, interval_text, number
from gradlens.runlog import Run

STYLE = """
<style>
.gl-scroll { overflow-x: auto; }
.gl-table { border-collapse: collapse; width: 100%; font-size: 0.86rem; line-height: 1.4; }
.gl-table caption { text-align: left; caption-side: bottom; padding-top: 0.5rem; font-size: 0.8rem; opacity: 0.75; }
.gl-table th { text-align: left; font-weight: 600; opacity: 0.8; padding: 0.4rem 0.9rem 0.4rem 0; vertical-align: bottom; }
.gl-table td, .gl-table tbody th { padding: 0.4rem 0.9rem 0.4rem 0; vertical-align: top; opacity: 1;
  border-top: 1px solid color-mix(in srgb, currentColor 14%, transparent); overflow-wrap: anywhere; }
.gl-table tbody th { font-weight: 500; }
.gl-table tr.gl-part th { font-weight: 700; padding-top: 0.9rem; }
.gl-table .gl-n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; overflow-wrap: normal; }
.gl-table .gl-strong { font-weight: 700; }
.gl-narrow { width: auto; min-width: min(100%, 30rem); }
.gl-narrow td:first-child { min-width: 6rem; }
.gl-narrow tbody th { white-space: nowrap; padding-right: 1.6rem; }
.gl-verdict { white-space: nowrap; } .gl-table sup { margin-left: 0.15em; line-height: 0; opacity: 0.8; }
.gl-badge { display: inline-block; white-space: nowrap; font-weight: 600; }
.gl-yes { color: light-dark(#00795A, #2CC295); } .gl-no { color: light-dark(#B34700, #FF8A3D); } .gl-open { opacity: 0.7; }
@media (max-width: 640px) {
  .gl-cards thead { display: none; }
  .gl-cards tr { display: block; padding: 0.5rem 0; border-top: 1px solid color-mix(in srgb, currentColor 14%, transparent); }
  .gl-cards td, .gl-cards tbody th { display: block; border: 0; padding: 0.1rem 0; }
  .gl-cards .gl-n { text-align: left; white-space: normal; }
  .gl-cards td[data-label]::before { content: attr(data-label) ": "; opacity: 0.7; font-weight: 400; }
  .gl-cards caption { display: block; }
}
</style>
"""
# The names of facts that are settings of the method begin with this.
SETTING = "hyper-parameter "
# The text for the norm of a group that a claim is about.
PER = {"both": "", "contribution": " (contribution)", "mean": " (mean gradient)"}
CLAIMS = ("panel", "statement", "measured as", "effect", "95% interval", "no difference", "verdict")
# The CSS class and the sign of each verdict.
MARKS = {True: ("gl-yes", "✓"), False: ("gl-no", "✗"), None: ("gl-open", "?")}


def facts_table(run: Run) -> None:
    """Writes all facts about a run."""
    found = facts(run)
    settings = [(name.removeprefix(SETTING), value) for name, value in found if name.startswith(SETTING)]
    _pairs([(name, value) for name, value in found if not name.startswith(SETTING)])
    if settings:
        st.header("Hyper-parameters", anchor=False)
        _pairs(settings)


def _pairs(rows: Iterable[tuple[str, str]]) -> None:
    body = "".join(f'<tr><th scope="row">{_text(name)}</th><td>{_text(value)}</td></tr>' for name, value in rows)
    _write(f'<table class="gl-table gl-narrow"><tbody>{body}</tbody></table>', "facts")


def claims_table(claims: Iterable[Claim]) -> None:
    """Writes the claims of Figure 1 with effect, interval and verdict."""
    claims = list(claims)
    notes = notes_of(claims)
    rows = []
    for same in by_statement(claims):
        for place, claim in enumerate(same):
            statement = "the same" if place else claim.statement
            low_high = (
                "-" if claim.low is None or claim.high is None else f"{number(claim.low)} to {number(claim.high)}"
            )
            measured = (claim.measure + PER[claim.convention], number(claim.effect), low_high, f"{claim.threshold:g}")
            key, sign = MARKS[claim.supported]
            footnote = f"<sup>{notes.index(claim.note) + 1}</sup>" if claim.note else ""
            rows.append(
                f'<tr><td data-label="{CLAIMS[0]}">{_text(claim.panel)}</td><th scope="row">{_text(statement)}</th>'
                f"{''.join(_cells(CLAIMS[2:6], measured, first=1))}"
                f'<td class="gl-verdict"><span class="gl-badge {key}">{sign} {claim.verdict}</span>{footnote}</td></tr>'
            )
    caption = "".join(f"{place}: {note}. " for place, note in enumerate(notes, 1)) + (
        "Supported: the whole 95% interval is above “no difference”. Contradicted: it is below. Undecided: it holds it. "
        f"{NOT_CORRECTED} Intervals are about the means of these two "
        "runs, not about other seeds."
    )
    _write(_table(CLAIMS, range(3, 6), rows, caption), "statements with verdicts")


def differences_table(names: tuple[str, str], rows: Iterable[Difference]) -> None:
    """Writes the means of two runs and their differences, group by group.

    Args:
        names: Names of the two runs.
        rows: Their differences.
    """
    paired = (
        "If both runs measured the same steps, the difference is taken step by step over these alone. It may differ from the "
        "difference of the two means."
    )
    rows = list(rows)
    found = [(row.group, row.quantity, difference_cells(row), row.clear) for row in rows]
    columns = (*names, "difference")
    _by_group(columns, found, f"{paired} {rows_without_interval(columns, rows)}")


def story_table(titles: Sequence[str], rows: Iterable[StoryRow]) -> None:
    """Writes the means of each stretch, and the last stretch minus the first, group by group.

    Args:
        titles: Titles of the stretches.
        rows: A row for each quantity.
    """
    rows, found = list(rows), []
    for row in rows:
        means = [interval_text(mean, fraction=row.percent) for mean in row.means]
        change = difference_text(row.change, row.means, fraction=row.percent)
        found.append((row.group, row.quantity, (*means, change), row.clear))
    columns = (*titles, "last - first")
    _by_group(columns, found, rows_without_interval(columns, rows))


def _by_group(head: Sequence[str], rows: Iterable[tuple[str, str, Sequence[str], bool]], more: str = "") -> None:
    """Writes a table with a part for each group.

    Args:
        head: Names of the columns of cells.
        rows: (group, quantity, cells, whether the interval of the last cell does not hold zero).
        more: Text at the end of the caption.
    """
    found, group = [], None
    for of, quantity, texts, clear in rows:
        if of != group:
            group = of
            title = _text(group or "whole run")
            found.append(f'<tr class="gl-part"><th scope="rowgroup" colspan="{len(head) + 1}">{title}</th></tr>')
        cells = _cells(head, texts, first=0, strong=len(head) - 1 if clear else None)
        found.append(f'<tr><th scope="row">{_text(quantity)}</th>{"".join(cells)}</tr>')
    caption = (
        "Means over the measured steps with 95% intervals, if there are any. Bold: the interval of the difference "
        f"does not hold 0. {more}"
    )
    _write(_table(("", *head), range(1, len(head) + 1), found, caption), f"means: {', '.join(head)}")


def accuracy_table(runs: Sequence[Run]) -> None:
    """Writes the accuracies of each run's last evaluation in percent. Writes nothing if no run was evaluated."""
    names = evaluated_names(runs)
    if not names:
        return
    rows = [(run.name, *(_percent(last_accuracy(run, name)) for name in names)) for run in runs]
    plain_table(("accuracy at the end", *names), rows, numeric=range(1, len(names) + 1))


def _percent(value: float) -> str:
    return f"{value:.1f}%" if math.isfinite(value) else "–"


def plain_table(
    head: Sequence[str], rows: Iterable[Sequence[object]], numeric: Sequence[int] = (), caption: str = ""
) -> None:
    """Writes a table of texts.

    Args:
        head: Names of the columns.
        rows: The cells of each row.
        numeric: Indices of the columns that are aligned to the right.
        caption: Text below the table.
    """
    body = [
        "<tr>" + "".join(f"<td{_class(i in numeric)}>{_text(cell)}</td>" for i, cell in enumerate(row)) + "</tr>"
        for row in rows
    ]
    _write(_table(head, numeric, body, caption, cards=False), ", ".join(filter(None, head)))


def _table(
    head: Sequence[str], numeric: Sequence[int], rows: Iterable[str], caption: str, *, cards: bool = True
) -> str:
    below = f"<caption>{_text(caption)}</caption>" if caption else ""
    kind = "gl-table gl-cards" if cards else "gl-table gl-narrow"
    return f'<table class="{kind}">{below}<thead>{_head(head, numeric)}</thead><tbody>{"".join(rows)}</tbody></table>'


def _cells(head: Sequence[str], texts: Sequence[str], *, first: int, strong: int | None = None) -> list[str]:
    """Returns the HTML of cells. On narrow screens a row becomes a card, in which each cell names its column.

    Args:
        head: Names of the columns.
        texts: The cells.
        first: Index of the first cell that is a number.
        strong: Index of a cell in bold, or None.
    """
    return [
        f'<td data-label="{_text(head[i])}" class="{"gl-n" if i >= first else ""}{" gl-strong" if i == strong else ""}">'
        f"{_text(text)}</td>"
        for i, text in enumerate(texts)
    ]


def _head(names: Sequence[str], numeric: Sequence[int]) -> str:
    return (
        "<tr>"
        + "".join(
            f'<th scope="col"{_class(i in numeric)}>{_text(n)}</th>' if n else "<td></td>" for i, n in enumerate(names)
        )
        + "</tr>"
    )


def _class(numeric: bool) -> str:
    return ' class="gl-n"' if numeric else ""


def _write(table: str, holds: str) -> None:
    """Writes a table.

    Args:
        table: Its HTML.
        holds: What it holds. Screen readers say this when the keyboard focus is on the table.
    """
    st.html(
        f'{STYLE}<div class="gl-scroll" role="region" aria-label="Table of {_text(holds)}" tabindex="0">{table}</div>'
    )


def _text(value: object) -> str:
    return html.escape(str(value), quote=True)
