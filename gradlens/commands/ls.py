"""The command ``gradlens ls``."""

from __future__ import annotations

from pathlib import Path

from gradlens.analysis.kept_overview import overviews
from gradlens.reports.lines import in_color, terminal_width, write
from gradlens.reports.listing import runs_text


def print_runs(folder: Path) -> None:
    """Prints the list of the runs in or below a folder.

    Raises:
        RunError: The folder cannot be read.
    """
    write(runs_text(overviews(folder), width=terminal_width(), color=in_color()))
