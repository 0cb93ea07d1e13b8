"""The command ``gradlens ls``."""

from __future__ import annotations

import gc
from pathlib import Path

from gradlens.analysis.kept_overview import overviews
from gradlens.reports.lines import in_color, terminal_width, write
from gradlens.reports.listing import runs_text

# Python's collector looks at young objects after so many new ones.
COLLECTED_AFTER = 100_000


def print_runs(folder: Path) -> None:
    """Prints the list of the runs in or below a folder.

    Raises:
        RunError: The folder cannot be read.
    """
    # The rows of all runs are kept until the end. A collector that looks at them again and again takes a quarter of the time.
    gc.set_threshold(COLLECTED_AFTER)
    write(runs_text(overviews(folder), width=terminal_width(), color=in_color()))
