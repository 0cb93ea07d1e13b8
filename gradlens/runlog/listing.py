"""All runs beneath a folder."""

from __future__ import annotations

import os
from pathlib import Path

from gradlens.runlog.errors import RunError
from gradlens.runlog.files import SEGMENTS
from gradlens.runlog.meta import FILE
from gradlens.runlog.reader import Run

# runs/<experiment>/<method>/<seed> is as deep as people nest.
DEEPEST = 3


def list_runs(folder: str | os.PathLike[str]) -> list[tuple[Path, Run | RunError]]:
    """Returns every run in or beneath ``folder``, by path; a broken one with the error that says why.

    Folders without a run.json or measurements are no runs, and are looked into up to three levels deep.

    Raises:
        RunError: ``folder`` is no folder that can be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RunError(f"{folder} is no folder; give the folder that holds the runs")
    found: list[tuple[Path, Run | RunError]] = []
    for path in run_folders(folder):
        try:
            found.append((path, Run(path)))
        except RunError as error:
            found.append((path, error))
    return found


def run_folders(folder: Path, deeper: int = DEEPEST) -> list[Path]:
    """Returns every folder at or beneath ``folder`` that looks like a run, by path.

    Args:
        folder: Where.
        deeper: Levels of folders below it that are looked into.

    Raises:
        RunError: ``folder`` cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            content = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        if deeper == DEEPEST:
            raise RunError(f"cannot read the folder {folder}: {error.strerror}") from error
        return []
    if any(entry.name == FILE or SEGMENTS.fullmatch(entry.name) for entry in content):
        return [folder]
    if not deeper:
        return []
    inner = [Path(entry) for entry in content if entry.is_dir() and not entry.name.startswith(".")]
    return [path for child in inner for path in run_folders(child, deeper - 1)]
