"""Finds and opens all runs below a folder."""

from __future__ import annotations

import os
from pathlib import Path

from gradlens.runlog.errors import RunError
from gradlens.runlog.reading.folders import run_folders
from gradlens.runlog.reading.reader import Run


def list_runs(folder: str | os.PathLike[str]) -> list[tuple[Path, Run | RunError]]:
    """Returns (path, run) of every run in or below ``folder``, in the order of the paths.

    A folder without a run.json or measurements is no run; it is searched, up to three levels deep. For a run that is broken, and
    for a folder that cannot be searched, there is an error instead of the run.

    Raises:
        RunError: ``folder`` is no folder that can be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RunError(f"{folder} is no folder; give the folder that holds the runs")
    found: list[tuple[Path, Run | RunError]] = []
    unread: dict[Path, RunError] = {}
    for path in run_folders(folder, unread=unread):
        try:
            found.append((path, Run(path)))
        except RunError as error:
            found.append((path, error))
    return [*found, *unread.items()]
