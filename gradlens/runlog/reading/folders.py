"""Finds the folders of runs. This file needs only the standard library: see ``run_stamp``."""

from __future__ import annotations

import os
from pathlib import Path

from gradlens.runlog.errors import RunError
from gradlens.runlog.format.names import DESCRIPTION, SEGMENTS
from gradlens.runlog.format.regular import reason

# Levels of folders that are searched: enough for runs/<experiment>/<method>/<seed>.
DEEPEST = 3


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
    if any(entry.name == DESCRIPTION or SEGMENTS.fullmatch(entry.name) for entry in content):
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
