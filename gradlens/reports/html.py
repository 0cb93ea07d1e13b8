"""The report: one HTML page about one or more runs. It needs no network, no server and no other file."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from gradlens import figures
from gradlens.analysis.compare import compare
from gradlens.analysis.evaluations import evaluation_table
from gradlens.analysis.facts import facts
from gradlens.analysis.two_runs import PairError, long_tailed_first
from gradlens.figures import FigureError
from gradlens.guards.error_text import in_one_line
from gradlens.reports.html_diagnosis import anchor, diagnosis_html
from gradlens.reports.html_tables import claims_table, differences_table, escaped, side_by_side, table

if TYPE_CHECKING:
    from gradlens.runlog import Run

# The most rows of the table of phases and marks.
MOST_EVENTS = 200


class ReportError(ValueError):
    """The report cannot be written. The message says the cause and the fix."""


def write_report(runs: Sequence[Run], path: str | os.PathLike[str], *, theme: str = "light") -> Path:
    """Writes the report. A reader sees the old file or the whole new one.

    The report about two runs with common groups begins with Figure 1, its claims and the differences.

    Args:
        runs: One or more runs.
        path: The HTML file; its folder is made.
        theme: "light" or "dark".

    Returns:
        ``path``.

    Raises:
        ReportError: There is no run, or the file cannot be written.
        FigureError: The theme is unknown.
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
        runs: One or more runs.
        theme: "light" or "dark".

    Raises:
        FigureError: The theme is unknown.
    """
    colors = figures.theme_of(theme)
    page = _Page(theme)
    told = "".join(diagnosis_html(run, f"run-{index}", named=len(runs) > 1) for index, run in enumerate(runs))
    sections = [("diagnosis", "Diagnosis", told), ("summary", "Summary", side_by_side(runs))]
    if len(runs) == 2:
        sections += _pair(page, *runs)
    if len(runs) > 1:
        # While a run is training, the fraction of the training that is done is not known.
        ended = all("fraction" in figures.units(run) for run in runs)
        curve = page.figure(
            lambda: figures.distortion_curves(runs, x="fraction" if ended else "step", theme=page.theme)
        )
        sections.append(("distortion", "Distortion", curve))
    for index, run in enumerate(runs):
        try:
            shown = _run(page, run, f"run-{index}", alone=len(runs) == 1)
        except Exception as error:  # the other runs are still shown
            shown = f'<p class="note">This run cannot be shown: {escaped(in_one_line(error))}</p>'
        sections.append((f"run-{index}", run.name, shown))
    contents = "".join(f'<a href="#{key}">{escaped(title)}</a>' for key, title, _ in sections)
    body = "".join(f'<section id="{key}"><h2>{escaped(title)}</h2>{inner}</section>' for key, title, inner in sections)
    template = Template(files("gradlens.figures").joinpath("report.html").read_text("utf-8"))
    return template.substitute(
        title=escaped("gradlens: " + ", ".join(run.name for run in runs)),
        heading=escaped(", ".join(run.name for run in runs)),
        written=time.strftime("%Y-%m-%d %H:%M %Z"),
        scheme=colors.name, paper=colors.paper, ink=colors.ink, muted=colors.muted, grid=colors.grid, accent=colors.accent,
        contents=contents, body=body, plotly=get_plotlyjs(), figures=",\n".join(page.figures),
    )  # fmt: skip


class _Page:
    """Collects the figures of a page. A script at the end of the page draws them."""

    def __init__(self, theme: Any) -> None:
        self.theme = theme
        self.figures: list[str] = []

    def figure(self, draw: Callable[[], go.Figure]) -> str:
        """Returns the HTML element for a figure; if the figure cannot be drawn, a note that says why."""
        try:
            figure = draw()
        except (FigureError, PairError) as error:
            return f'<p class="note">{escaped(error)}</p>'
        key = f"figure-{len(self.figures)}"
        # "<" occurs only in texts of the figures. It is escaped, so that no text can end the script.
        self.figures.append(f'["{key}",{str(figure.to_json()).replace("<", chr(92) + "u003c")}]')
        title = figure.layout.title.text.removeprefix("<b>").removesuffix("</b>")  # the rest is escaped already
        height = figure.layout.height
        return f'<div class="figure" id="{key}" data-title="{title}" style="min-height:{height}px"></div>'


def _pair(page: _Page, a: Run, b: Run) -> list[tuple[str, str, str]]:
    try:
        found = compare(a, b)
    except PairError as error:
        return [("figure1", "Figure 1", f'<p class="note">{escaped(error)}</p>')]
    long_tailed, balanced = long_tailed_first(a, b)
    drawn = page.figure(lambda: figures.figure1(long_tailed, balanced, theme=page.theme))
    other = page.figure(lambda: figures.figure1(long_tailed, balanced, per="mean", theme=page.theme))
    drawn += f"<details><summary>The same with norms of mean gradients</summary>{other}</details>"
    claims = claims_table(found.claims) if found.claims else f'<p class="note">{escaped(found.note)}</p>'
    for note in filter(None, (found.nonfinite, found.mixed)):
        claims = f'<p class="note">{escaped(note)}</p>{claims}'
    return [
        ("figure1", "Figure 1", drawn),
        ("claims", "What the paper says about it", claims),
        ("differences", "Everything measured", differences_table(found)),
    ]


def _run(page: _Page, run: Run, section: str, *, alone: bool) -> str:
    theme = page.theme
    # Figures with a name, which findings link to; others have none.
    draws: list[tuple[str, Callable[[], go.Figure]]] = [
        ("", lambda: figures.cosines(run, theme=theme)),
        ("shares", lambda: figures.shares(run, theme=theme)),
        ("norms", lambda: figures.norms(run, theme=theme)),
        ("", lambda: figures.norms(run, per="mean", theme=theme)),
        ("conflicts", lambda: figures.conflicts(run, theme=theme)),
        *(
            (other.name, partial(figures.quantity_curves, run, other.name, theme=theme))
            for other in figures.other_quantities(run)
        ),
    ]
    if alone:
        draws.append(("", lambda: figures.distortion_curves([run], theme=theme)))
    if run.layers:
        draws.append(("", lambda: figures.layer_heatmap(run, theme=theme)))
    draws.append(("losses", lambda: figures.losses(run, theme=theme)))
    draws.append(("", lambda: figures.accuracies(run, theme=theme)))
    if run.logged_names:
        draws.append(("", lambda: figures.logged_curves(run, theme=theme)))
    if run.has_update:
        draws.append(("update", lambda: figures.update_cosines(run, theme=theme)))
    if run.components:
        draws.append(("", lambda: figures.component_norms(run, theme=theme)))
    probes = run.probes
    if probes:
        draws.append(("", lambda: figures.class_cosines(probes[-1], theme=theme)))
        draws.append(("", lambda: figures.class_shares(probes[-1], theme=theme)))
    rows = [[escaped(name), f"<code>{escaped(value)}</code>"] for name, value in facts(run)]
    drawn = "".join(
        f'<div id="{anchor(section, name)}">{page.figure(draw)}</div>' if name else page.figure(draw)
        for name, draw in draws
    )
    return f"{drawn}{_evaluations(run)}<h3>Facts</h3>{table(('', ''), rows, narrow=True)}{_phases(run)}"


def _evaluations(run: Run) -> str:
    found = evaluation_table(run)
    if found is None:
        return ""
    rows = [[escaped(cell) for cell in row] for row in found.rows]
    shown = table(found.head, rows, numeric=range(1, len(found.head)), narrow=True)
    return f'<h3>Evaluations</h3>{shown}<p class="note">{escaped(found.note)}</p>'


def _phases(run: Run) -> str:
    rows = [
        [escaped(f"phase {p.name}"), f"{p.start:,}", f"{p.end - 1:,}" if p.end is not None else "end"]
        for p in run.phases
    ] + [[escaped(mark.text), f"{mark.step:,}", ""] for mark in run.marks]
    if len(rows) > MOST_EVENTS:
        rows[MOST_EVENTS:] = [[f"… and {len(rows) - MOST_EVENTS:,} more, in events.jsonl of the run", "", ""]]
    return (
        f"<h3>Phases and marks</h3>{table(('', 'from step', 'to step'), rows, numeric=(1, 2), narrow=True)}"
        if rows
        else ""
    )
