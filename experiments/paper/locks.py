"""A lock that a process holds while it lives: nothing is left behind by one that was killed."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, patience: float = 0.0) -> Iterator[bool]:
    """Takes a lock and yields True; yields False if another process holds it.

    The operating system frees the lock when the process ends in any way. Processes that it forks do not hold it.

    Args:
        path: The file that stands for the lock. It is made, and stays.
        patience: Seconds to wait for the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        until = time.monotonic() + patience
        while not (taken := _take(file.fileno())) and time.monotonic() < until:
            time.sleep(0.05)
        yield taken  # closing the file frees the lock


def is_locked(path: Path) -> bool:
    """Says whether another process holds a lock."""
    if not path.is_file():
        return False
    with locked(path) as free:
        return not free


def _take(file: int) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
