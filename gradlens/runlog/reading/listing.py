"""Finds and opens all runs below a folder."""

from __future__ import annotations

import os
from pathlib import Path

from gradlens.runlog.errors import RunError
from gradlens.runlog.format.description import FILE
from gradlens.runlog.format.regular import reason
from gradlens.runlog.reading.description import SEGMENTS
from gradlens.runlog.reading.reader import Run

# Levels of folders that are searched: enough for runs/<experiment>/<method>/<seed>.
DEEPEST = 3


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


def run_folders(folder: Path, deeper: int = DEEPEST, unread: dict[Path, RunError] | None = None) -> list[Path]:
    """Returns every folder at or below ``folder`` that looks like a run, in the order of the paths.

    Args:
        folder: The folder.
        deeper: Levels of folders below it that are searched.
        unread: Is filled with the folders below it that cannot be searched, each with its error.

    Raises:
        RunError: ``folder`` cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            content = sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        if deeper == DEEPEST:
            raise RunError(f"{folder} is no folder; give the folder that holds the runs") from None
        return []
    except OSError as error:
        problem = RunError(f"cannot read the folder {folder}: {reason(error)}")
        if deeper == DEEPEST:
            raise problem from error
        if unread is not None:
            unread[folder] = problem
        return []
    if any(entry.name == FILE or SEGMENTS.fullmatch(entry.name) for entry in content):
        return [folder]
    if not deeper:
        return []
    # A hidden folder may be a run, but the folders in it (.git, .cache) are not searched.
    inner = [(Path(entry), 0 if entry.name.startswith(".") else deeper - 1) for entry in content if _is_folder(entry)]
    return [path for child, levels in inner for path in run_folders(child, levels, unread)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir() and not (entry.is_symlink() and _leads_back(Path(entry)))
    except OSError:  # a link that leads in a circle
        return False


def _leads_back(link: Path) -> bool:
    """Says whether a link leads to a folder that it lies in. The runs of that folder would be listed twice."""
    return link.parent.resolve().is_relative_to(link.resolve())
