"""Prints the table at the end of a tracked training."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from gradlens.reports.summary import summary_table
from gradlens.runlog import Run
from gradlens.tracking.messages import say


def print_summary(folder: Path) -> None:
    """Prints the summary of a run on standard error, or a line if no step was measured."""
    run = Run(folder)
    if not len(run.steps):
        say(f"no step was measured before the training ended; the run is in {folder}")
        return
    Console(file=sys.__stderr__).print(summary_table(run))
