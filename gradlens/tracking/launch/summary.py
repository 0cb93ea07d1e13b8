"""Prints the table at the end of a tracked training."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from gradlens.diagnosis.diagnose import diagnose
from gradlens.diagnosis.text import lines
from gradlens.guards.printable import printable
from gradlens.reports.summary import summary_table
from gradlens.runlog import Run
from gradlens.tracking.messages import say


def print_summary(folder: Path) -> None:
    """Prints the diagnosis and the summary of a run on standard error, or a line if no step was measured."""
    run = Run(folder)
    if not len(run.steps):
        say(f"no step was measured before the training ended; the run is in {folder}")
        return
    console = Console(file=sys.__stderr__)
    console.print(summary_table(run))
    for line in lines(diagnose(run), min(console.width, 110)):
        console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
