"""The diagnosis of a run as HTML, at the top of the report. Each sentence links to its figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradlens.diagnosis.diagnose import diagnose
from gradlens.diagnosis.finding import Finding
from gradlens.diagnosis.text import FIGURES, LEGEND, NOTHING, SIGNS
from gradlens.guards.error_text import in_one_line
from gradlens.reports.html_tables import escaped

if TYPE_CHECKING:
    from gradlens.runlog import Run


def anchor(section: str, figure: str) -> str:
    """Returns the id of a figure that findings link to.

    Args:
        section: The id of the run's section.
        figure: Name of the figure, as in ``Finding.figure``.
    """
    return f"{section}-{figure}"


def diagnosis_html(run: Run, section: str, *, named: bool) -> str:
    """Returns the findings of a run as a list.

    Args:
        run: The run.
        section: The id of the section with its figures.
        named: Whether to write the run's name above.
    """
    title = f"<h3>{escaped(run.name)}</h3>" if named else ""
    try:
        found = diagnose(run)
    except Exception as error:  # the figures are still shown
        return f'{title}<p class="note">There is no diagnosis of this run: {escaped(in_one_line(error))}</p>'
    if not found:
        return f'{title}<p class="note">{escaped(NOTHING)}</p>'
    items = "".join(f"<li>{_item(finding, section)}</li>" for finding in found)
    return f'{title}<ul class="findings">{items}</ul><p class="note">{escaped(LEGEND)}</p>'


def _item(finding: Finding, section: str) -> str:
    told = f"<b>{SIGNS[finding.severity]}</b> {escaped(finding.sentence)}"
    if finding.advice:
        told += f' <span class="advice">{escaped(finding.advice)}</span>'
    if finding.figure:
        told += f' <a href="#{anchor(section, finding.figure)}">{escaped(FIGURES[finding.figure])}</a>'
    return told
