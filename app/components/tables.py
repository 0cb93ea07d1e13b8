"""Tables of texts and numbers, as plain HTML that screen readers and phones take; every cell is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

import streamlit as st

from gradlens.claims import Claim
from gradlens.compare import Difference
from gradlens.facts import facts
from gradlens.runlog import Run
from gradlens.tables import difference_cells, number

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
.gl-narrow tbody th { white-space: nowrap; padding-right: 1.6rem; }
.gl-badge { display: inline-block; white-space: nowrap; font-weight: 600; }
.gl-yes { color: #00795A; } .gl-no { color: #B34700; } .gl-open { opacity: 0.7; }
.gl-dark .gl-yes { color: #2CC295; } .gl-dark .gl-no { color: #FF8A3D; }
</style>
"""
VERDICTS = {True: ("gl-yes", "✓ reproduced"), False: ("gl-no", "✗ not reproduced"), None: ("gl-open", "? undecided")}


def facts_table(run: Run) -> None:
    """Writes everything that is known about a run."""
    rows = "".join(f'<tr><th scope="row">{_text(n)}</th><td>{_text(value)}</td></tr>' for n, value in facts(run))
    _write(f'<table class="gl-table gl-narrow"><tbody>{rows}</tbody></table>')


def claims_table(claims: Iterable[Claim]) -> None:
    """Writes the statements of Figure 1 with effect, interval and verdict."""
    rows, previous = [], ""
    for claim in claims:
        key, words = VERDICTS[claim.reproduced]
        low_high = "" if claim.low is None or claim.high is None else f"{number(claim.low)} to {number(claim.high)}"
        per = "" if claim.convention == "both" else f" ({'contribution' if claim.convention == 'contribution' else 'mean gradient'})"
        statement = claim.statement if claim.statement != previous else "the same"
        previous = claim.statement
        note = f"<br>{_text(claim.note)}" if claim.note else ""
        rows.append(
            f'<tr><td>{_text(claim.panel)}</td><th scope="row">{_text(statement)}</th><td>{_text(claim.measure + per)}</td>'
            f'<td class="gl-n">{number(claim.effect)}</td><td class="gl-n">{_text(low_high)}</td>'
            f'<td class="gl-n">{claim.threshold:g}</td><td><span class="gl-badge {key}">{words}</span>{note}</td></tr>'
        )
    _write(
        '<table class="gl-table"><caption>Reproduced: the whole 95 % interval lies above “no difference”. Intervals: moving-block '
        "bootstrap over the measured steps. They say how sure the averages of these two runs are, not how another seed would come "
        f"out.</caption><thead>{_head(('panel', 'statement', 'measured as', 'effect', '95 % interval', 'no difference', 'verdict'), (3, 4, 5))}"
        f"</thead><tbody>{''.join(rows)}</tbody></table>"
    )


def differences_table(names: tuple[str, str], rows: Iterable[Difference]) -> None:
    """Writes the means of two runs, or of two stretches, and their difference, group by group.

    Args:
        names: What the two are called.
        rows: From ``compare`` or ``phase_changes``.
    """
    found, group = [], None
    for row in rows:
        if row.group != group:
            group = row.group
            found.append(f'<tr class="gl-part"><th scope="rowgroup" colspan="4">{_text(group or "whole run")}</th></tr>')
        a, b, delta = (_text(cell) for cell in difference_cells(row))
        strong = " gl-strong" if row.clear else ""
        found.append(
            f'<tr><th scope="row">{_text(row.quantity)}</th><td class="gl-n">{a}</td><td class="gl-n">{b}</td>'
            f'<td class="gl-n{strong}">{delta}</td></tr>'
        )
    _write(
        '<table class="gl-table"><caption>Means over the measured steps with 95 % intervals (moving-block bootstrap). Bold: the '
        f"interval of the difference leaves out 0.</caption><thead>{_head(('', *names, 'difference'), (1, 2, 3))}</thead>"
        f"<tbody>{''.join(found)}</tbody></table>"
    )


def plain_table(head: Sequence[str], rows: Iterable[Sequence[object]], numeric: Sequence[int] = (), caption: str = "") -> None:
    """Writes a table of texts.

    Args:
        head: Names of the columns.
        rows: Their cells.
        numeric: Columns that are aligned at the right.
        caption: What stands below it.
    """
    body = "".join(
        "<tr>" + "".join(f"<td{_class(i in numeric)}>{_text(cell)}</td>" for i, cell in enumerate(row)) + "</tr>" for row in rows
    )
    below = f"<caption>{_text(caption)}</caption>" if caption else ""
    _write(f'<table class="gl-table">{below}<thead>{_head(head, numeric)}</thead><tbody>{body}</tbody></table>')


def _head(names: Sequence[str], numeric: Sequence[int]) -> str:
    return "<tr>" + "".join(f'<th scope="col"{_class(i in numeric)}>{_text(n)}</th>' for i, n in enumerate(names)) + "</tr>"


def _class(numeric: bool) -> str:
    return ' class="gl-n"' if numeric else ""


def _write(table: str) -> None:
    dark = " gl-dark" if st.context.theme.type == "dark" else ""
    st.html(f'{STYLE}<div class="gl-scroll{dark}" tabindex="0">{table}</div>')


def _text(value: object) -> str:
    return html.escape(str(value), quote=True)
