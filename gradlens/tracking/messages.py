"""Prints the lines of `gradlens track` on the process's own standard error, even if the script replaces ``sys.stderr``."""

from __future__ import annotations

import sys

from gradlens.guards.printable import printable

PREFIX = "gradlens: "

# Number of this process, if the first process of the training prints the lines for all. None: this process prints them.
_rank: int | None = None


def follow(rank: int) -> None:
    """Makes this process silent, because the first process of the training prints the same lines.

    Args:
        rank: Number of this process.
    """
    global _rank
    _rank = rank


def say(text: str, *, everywhere: bool = False) -> None:
    """Prints one line. If standard error is closed, nothing is printed and no error is raised.

    Args:
        text: The line, without the prefix.
        everywhere: Whether each process of a training prints the line.
    """
    if _rank is not None:
        if not everywhere:
            return
        text = f"process {_rank}: {text}"
    stream = sys.__stderr__
    if stream is None:
        return
    try:
        stream.write(f"{PREFIX}{printable(text)}\n")
        stream.flush()
    except (OSError, ValueError):
        return
