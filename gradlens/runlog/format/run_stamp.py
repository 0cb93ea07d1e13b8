"""The stamp of a run: sizes and times of its files. While it stays the same, nobody has written to them.

Lists of runs look at thousands of stamps. So this file needs only the standard library.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

# The files that a run's numbers and warnings are read from.
RUN_FILE = re.compile(r"run\.json|(?:events|logged)\.jsonl|measurements-\d+\.arrows|probes-\d+\.arrow")
# Name of a file -> its size in bytes, and the times in nanoseconds of its last change and of the last change of its inode.
Stamp = dict[str, tuple[int, int, int]]


def stamp_of(folder: str | os.PathLike[str], names: Iterable[str] | None = None) -> Stamp | None:
    """Returns the stamp of the run in a folder; None if a file cannot be looked at.

    A program can set the time of a file's last change, but not that of its inode: a file that was changed in its place, or
    replaced by a copy with the same time, has another stamp. (Windows has the time of creation there.)

    Args:
        folder: The folder.
        names: Names of its files, if they are known.
    """
    try:
        if names is None:
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries if RUN_FILE.fullmatch(entry.name))
        return stamp_of_files(folder, names)
    except OSError:
        return None


def stamp_of_files(folder: str | os.PathLike[str], names: Iterable[str]) -> Stamp:
    """Returns the stamp of the named files.

    Raises:
        OSError: A file cannot be looked at.
    """
    stamp = {}
    place = os.fspath(folder)
    for name in names:
        found = os.stat(f"{place}/{name}")
        stamp[name] = (found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return stamp
