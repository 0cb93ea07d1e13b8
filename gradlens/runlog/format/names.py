"""The names of a run's files: a stem, a number, a suffix."""

from __future__ import annotations

import os
import re
from pathlib import Path


def place_of(path: Path) -> int:
    """Returns the number in a file's name."""
    return int(path.stem.rpartition("-")[2])


def next_path(folder: Path, stem: str, suffix: str) -> Path:
    """Returns the first free ``stem-NNN.suffix`` after all that are there."""
    pattern = re.compile(rf"{stem}-(\d+)\.{suffix}")
    used = [int(match[1]) for name in os.listdir(folder) if (match := pattern.fullmatch(name))]
    return folder / f"{stem}-{max(used, default=-1) + 1:03d}.{suffix}"
