"""Finds the folders of runs. This file needs only the standard library: see ``run_stamp``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gradlens.runlog.errors import RunError
from gradlens.runlog.format.card import FILE as CARD
from gradlens.runlog.format.names import DESCRIPTION, SEGMENTS
from gradlens.runlog.format.regular import reason
from gradlens.runlog.format.run_stamp import RUN_FILE

# Levels of folders that are searched: enough for runs/<experiment>/<method>/<seed>.
DEEPEST = 3
# A folder that has changed within this many seconds may change again without another time: see ``run_stamp``.
TICK_SECONDS = 0.1


@dataclass(frozen=True)
class Content:
    """What stands in a folder.

    Attributes:
        files: Names of the files of a run.
        folders: Paths of the folders, in the order of their names; () in the folder of a run.
        is_run: Whether it looks like the folder of a run.
        has_card: Whether people have written about the run.
    """

    files: tuple[str, ...]
    folders: tuple[Path, ...]
    is_run: bool
    has_card: bool


def content_of(folder: Path) -> Content:
    """Looks into a folder.

    Raises:
        OSError: It cannot be read.
    """
    with os.scandir(folder) as entries:
        content = sorted(entries, key=lambda entry: entry.name)
    files = tuple(entry.name for entry in content if RUN_FILE.fullmatch(entry.name))
    is_run = any(name == DESCRIPTION or SEGMENTS.fullmatch(name) for name in files)
    folders = () if is_run else tuple(Path(entry) for entry in content if _is_folder(entry))
    return Content(files, folders, is_run, any(entry.name == CARD for entry in content))


class KnownContents:
    """Looks into folders, and again only into those whose time has changed since: files have come or gone there."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[int, Content]] = {}

    def __call__(self, folder: Path) -> Content:
        """Does what ``content_of`` does."""
        changed = os.stat(folder).st_mtime_ns
        known = self._known.get(folder)
        if known is not None and known[0] == changed:
            return known[1]
        settled = time.time_ns() - changed > 1e9 * TICK_SECONDS
        found = content_of(folder)
        if settled:
            self._known[folder] = (changed, found)
        return found


def run_folders(
    folder: Path,
    deeper: int = DEEPEST,
    unread: dict[Path, RunError] | None = None,
    content: Callable[[Path], Content] = content_of,
) -> dict[Path, Content]:
    """Returns every folder at or below ``folder`` that looks like a run, in the order of the paths, with its content.

    Args:
        folder: The folder.
        deeper: Levels of folders below it that are searched.
        unread: Is filled with the folders below it that cannot be searched, each with its error.
        content: Looks into a folder.

    Raises:
        RunError: ``folder`` cannot be read.
    """
    try:
        found = content(folder)
    except FileNotFoundError:
        if deeper == DEEPEST:
            raise RunError(f"{folder} is no folder; give the folder that holds the runs") from None
        return {}
    except OSError as error:
        problem = RunError(f"cannot read the folder {folder}: {reason(error)}")
        if deeper == DEEPEST:
            raise problem from error
        if unread is not None:
            unread[folder] = problem
        return {}
    if found.is_run:
        return {folder: found}
    runs: dict[Path, Content] = {}
    for inner in found.folders if deeper else ():
        # A hidden folder may be a run, but the folders in it (.git, .cache) are not searched.
        runs |= run_folders(inner, 0 if inner.name.startswith(".") else deeper - 1, unread, content)
    return runs


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir() and not (entry.is_symlink() and _leads_back(Path(entry)))
    except OSError:  # a link that leads in a circle
        return False


def _leads_back(link: Path) -> bool:
    """Says whether a link leads to a folder that it lies in. The runs of that folder would be listed twice."""
    return link.parent.resolve().is_relative_to(link.resolve())
