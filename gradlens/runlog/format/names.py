"""The names of a run's files: a stem, a number and a suffix, such as measurements-000.arrows."""

from __future__ import annotations

import os
import re
from pathlib import Path

DESCRIPTION = "run.json"
SEGMENTS = re.compile(r"measurements-(\d+)\.arrows")


def place_of(path: Path) -> int:
    """Returns the number in a file's name."""
    return int(path.stem.rpartition("-")[2])


def next_path(folder: Path, stem: str, suffix: str) -> Path:
    """Returns the path ``stem-NNN.suffix`` with the number after the largest one in the folder."""
    pattern = re.compile(rf"{stem}-(\d+)\.{suffix}")
    used = [int(match[1]) for name in os.listdir(folder) if (match := pattern.fullmatch(name))]
    return folder / f"{stem}-{max(used, default=-1) + 1:03d}.{suffix}"
