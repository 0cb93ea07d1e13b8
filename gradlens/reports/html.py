"""The report: runs as one HTML page that needs no network, no server and no other file."""

from __future__ import annotations

import html
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from gradlens import figures
from gradlens.analysis.compare import Comparison, compare
from gradlens.analysis.facts import facts, lost_text, nonfinite_text
from gradlens.analysis.figure1_claims import NOT_CORRECTED, by_statement, notes_of
from gradlens.analysis.headline import NOT_RANKED, groups_differ, headline, two_groups_text
from gradlens.analysis.quantities import filled_share
from gradlens.analysis.two_runs import PairError, long_tailed_first
from gradlens.estimation.intervals import why_none
from gradlens.figures import FigureError
from gradlens.guards.error_text import in_one_line
from gradlens.reports.terminal import difference_cells, headline_text, number, percent

if TYPE_CHECKING:
    from gradlens.analysis.figure1_claims import Claim
    from gradlens.runlog import Run

# A longer table is not read.
MOST_EVENTS = 200
# How a verdict is marked in the page's styles.
MARKS = {True: "yes", False: "no", None: "open"}


class ReportError(ValueError):
    """A report that cannot be written; the message says why and what to do."""


def write_report(runs: Sequence[Run], path: str | os.PathLike[str], *, theme: str = "light") -> Path:
    """Writes the report; a reader sees the old file or the whole new one.

    With two runs that share groups it begins with Figure 1, its claims and the differences.

    Args:
        runs: One or more.
        path: The HTML file; its folder is made.
        theme: "light" or "dark".

    Raises:
        ReportError: No run, or a file that cannot be written.
        FigureError: An unknown theme.
    """
    path = Path(path)
    if not runs:
        raise ReportError("no run to report on; give at least one")
    data = render(runs, theme=theme).encode("utf-8", "replace")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with open(handle, "wb") as file:
                file.write(data)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ReportError(f"cannot write {path}: {error.strerror}; choose another file with -o") from error
    return path


def render(runs: Sequence[Run], *, theme: str = "light") -> str:
    """Returns the page as text.

    Args:
        runs: One or more.
        theme: "light" or "dark".

    Raises:
        FigureError: An unknown theme.
    """
    colors = figures.theme_of(theme)
    page = _Page(theme)
    sections = [("summary", "Summary", _summary(runs))]
    if len(runs) == 2:
        sections += _pair(page, *runs)
    if len(runs) > 1:
        # Where one still trains, nobody knows which part of it has been done.
        ended = all("fraction" in figures.units(run) for run in runs)
        curve = page.figure(
            lambda: figures.distortion_curves(runs, x="fraction" if ended else "step", theme=page.theme)
        )
        sections.append(("distortion", "Distortion", curve))
    for index, run in enumerate(runs):
        try:
            shown = _run(page, run, alone=len(runs) == 1)
        except Exception as error:  # one bad run never takes down the others
            shown = f'<p class="note">This run cannot be shown: {_text(in_one_line(error))}</p>'
        sections.append((f"run-{index}", run.name, shown))
    contents = "".join(f'<a href="#{key}">{_text(title)}</a>' for key, title, _ in sections)
    body = "".join(f'<section id="{key}"><h2>{_text(title)}</h2>{inner}</section>' for key, title, inner in sections)
    template = Template(files("gradlens.figures").joinpath("report.html").read_text("utf-8"))
    return template.substitute(
        title=_text("gradlens: " + ", ".join(run.name for run in runs)),
        heading=_text(", ".join(run.name for run in runs)),
        written=time.strftime("%Y-%m-%d %H:%M %Z"),
        scheme=colors.name, paper=colors.paper, ink=colors.ink, muted=colors.muted, grid=colors.grid, accent=colors.accent,
        contents=contents, body=body, plotly=get_plotlyjs(), figures=",\n".join(page.figures),
    )  # fmt: skip


class _Page:
    """Collects the figures of a page; each is drawn by one script at its end."""

    def __init__(self, theme: Any) -> None:
        self.theme = theme
        self.figures: list[str] = []

    def figure(self, draw: Callable[[], go.Figure]) -> str:
        """Returns the place of a figure, or what keeps it from being drawn."""
        try:
            figure = draw()
        except (FigureError, PairError) as error:
            return f'<p class="note">{_text(error)}</p>'
        key = f"figure-{len(self.figures)}"
        # "<" only occurs in the figures' texts; escaped, no text can end the script.
        self.figures.append(f'["{key}",{str(figure.to_json()).replace("<", chr(92) + "u003c")}]')
        title = figure.layout.title.text.removeprefix("<b>").removesuffix("</b>")  # what is left is escaped already
        height = figure.layout.height
        return f'<div class="figure" id="{key}" data-title="{title}" style="min-height:{height}px"></div>'


def _summary(runs: Sequence[Run]) -> str:
    rows = []
    for run in runs:
        groups = run.groups.names[:6]
        totals = run.counts.sum(0)
        samples = [float(x) / float(totals.sum()) if totals.sum() else math.nan for x in totals]
        shares = [_mean(filled_share(run, name)) for name in groups]
        parts = "; ".join(
            f"{_text(name)} {percent(n)} of the samples, {percent(s)} of the update"
            for name, n, s in zip(groups, samples, shares, strict=False)
        )
        more = f"; {len(run.groups) - 6} more groups" if len(run.groups) > 6 else ""
        if told := two_groups_text(run):
            parts, more = _text(told), ""
        cells = (
            run.status.state,
            run.meta.method or "",
            run.meta.dataset or "",
            f"{len(run):,}",
            headline_text(headline(run)),
        )
        rows.append([_text(run.name), *map(_text, cells), parts + more])
    head = (
        "run",
        "status",
        "method",
        "data set",
        "measured steps",
        "distortion",
        "who was in the batches, whose was the update",
    )
    broken = "".join(
        f'<p class="note">{_text(run.name)}: {_text(text)}.</p>'
        for run in runs
        for text in (lost_text(run), nonfinite_text(run), *run.warnings)
        if text
    )
    differ = f'<p class="note">{_text(NOT_RANKED)}.</p>' if groups_differ(runs) else ""
    return _table(head, rows, numeric=(4, 5)) + (
        f'{broken}{differ}<p class="note">Distortion, of the whole run (and of its last phase, where there are several): half '
        "the distance between the groups’ shares of the update and of the classes; 0 = every "
        "group steers the update in proportion to its classes.</p>"
    )


def _pair(page: _Page, a: Run, b: Run) -> list[tuple[str, str, str]]:
    try:
        found = compare(a, b)
    except PairError as error:
        return [("figure1", "Figure 1", f'<p class="note">{_text(error)}</p>')]
    long_tailed, balanced = long_tailed_first(a, b)
    drawn = page.figure(lambda: figures.figure1(long_tailed, balanced, theme=page.theme))
    other = page.figure(lambda: figures.figure1(long_tailed, balanced, per="mean", theme=page.theme))
    drawn += f"<details><summary>The same with norms of mean gradients</summary>{other}</details>"
    claims = _claims(found.claims) if found.claims else f'<p class="note">{_text(found.note)}</p>'
    for note in filter(None, (found.nonfinite, found.mixed)):
        claims = f'<p class="note">{_text(note)}</p>{claims}'
    return [
        ("figure1", "Figure 1", drawn),
        ("claims", "What the paper says about it", claims),
        ("differences", "Everything measured", _differences(found)),
    ]


def _claims(claims: Sequence[Claim]) -> str:
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
                [*map(_text, cells), f'<span class="{MARKS[claim.supported]}">{claim.verdict}</span>{footnote}']
            )
    head = ("panel", "statement", "measured as", "norms per", "effect", "95 % interval", "verdict")
    footnotes = [f'<p class="note"><sup>{at}</sup> {_text(note)}</p>' for at, note in enumerate(notes, 1)]
    return (
        _table(head, rows, numeric=(4, 5))
        + "".join(footnotes)
        + '<p class="note">Supported: the whole interval lies above “no difference”, which is 0 for differences and '
        "correlations and 1 for ratios; contradicted: the whole interval lies below it; undecided: it holds it. "
        f"{NOT_CORRECTED} Fluctuation: deviation from the running mean over a twentieth of the run; ratios compare geometric "
        "means of their sizes. Intervals (cosine estimator of the long-run variance, Student’s t) say how sure the averages of "
        "these two runs are, not how another seed would come out.</p>"
    )


def _differences(found: Comparison) -> str:
    rows: list[list[str]] = []
    group: str | None = None
    for row in found.differences:
        if row.group != group:
            group = row.group
            rows.append([f"<b>{_text(group or 'whole run')}</b>", "", "", ""])
        a, b, delta = (_text(cell) for cell in difference_cells(row))
        rows.append([_text(row.quantity), a, b, f"<b>{delta}</b>" if row.clear else delta])
    head = ("mean over the measured steps [95 % interval]", found.a, found.b, "difference")
    why = why_none(x for row in found.differences for x in row.intervals)
    return (
        _table(head, rows, numeric=(1, 2, 3))
        + f'<p class="note">Bold: the interval of the difference leaves out 0. {_text(why)}</p>'
    )


def _run(page: _Page, run: Run, *, alone: bool) -> str:
    theme = page.theme
    draws: list[Callable[[], go.Figure]] = [
        lambda: figures.cosines(run, theme=theme),
        lambda: figures.shares(run, theme=theme),
        lambda: figures.norms(run, theme=theme),
        lambda: figures.norms(run, per="mean", theme=theme),
        lambda: figures.conflicts(run, theme=theme),
    ]
    if alone:
        draws.append(lambda: figures.distortion_curves([run], theme=theme))
    if run.layers:
        draws.append(lambda: figures.layer_heatmap(run, theme=theme))
    draws += [lambda: figures.losses(run, theme=theme), lambda: figures.accuracies(run, theme=theme)]
    if run.has_update:
        draws.append(lambda: figures.update_cosines(run, theme=theme))
    if run.components:
        draws.append(lambda: figures.component_norms(run, theme=theme))
    probes = run.probes
    if probes:
        draws += [
            lambda: figures.class_cosines(probes[-1], theme=theme),
            lambda: figures.class_shares(probes[-1], theme=theme),
        ]
    rows = [[_text(name), f"<code>{_text(value)}</code>"] for name, value in facts(run)]
    drawn = "".join(page.figure(draw) for draw in draws)
    return f"{drawn}<h3>Facts</h3>{_table(('', ''), rows, narrow=True)}{_phases(run)}"


def _phases(run: Run) -> str:
    rows = [
        [_text(f"phase {p.name}"), f"{p.start:,}", f"{p.end - 1:,}" if p.end is not None else "end"] for p in run.phases
    ] + [[_text(mark.text), f"{mark.step:,}", ""] for mark in run.marks]
    if len(rows) > MOST_EVENTS:
        rows[MOST_EVENTS:] = [[f"… and {len(rows) - MOST_EVENTS:,} more, in events.jsonl of the run", "", ""]]
    return (
        f"<h3>Phases and marks</h3>{_table(('', 'from step', 'to step'), rows, numeric=(1, 2), narrow=True)}"
        if rows
        else ""
    )


def _table(
    head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[int] = (), *, narrow: bool = False
) -> str:
    """Returns a table of cells that are HTML already; the head is escaped here."""

    def cell(tag: str, index: int, inner: str) -> str:
        return f'<{tag} class="n">{inner}</{tag}>' if index in numeric else f"<{tag}>{inner}</{tag}>"

    top = "".join(cell("th" if text else "td", i, _text(text)) for i, text in enumerate(head)) if any(head) else ""
    body = "".join(f"<tr>{''.join(cell('td', i, inner) for i, inner in enumerate(row))}</tr>" for row in rows)
    kind = ' class="facts"' if narrow else ""
    header = f"<thead><tr>{top}</tr></thead>" if top else ""
    return f'<div class="scroll"><table{kind}>{header}<tbody>{body}</tbody></table></div>'


def _text(value: object) -> str:
    return html.escape(str(value), quote=True)


def _mean(values: Any) -> float:
    present = [float(v) for v in values if math.isfinite(v)]
    return sum(present) / len(present) if present else math.nan
