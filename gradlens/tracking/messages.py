"""What tracking says: lines on the process's own standard error, whatever the script does with ``sys.stderr``."""

from __future__ import annotations

import sys

from gradlens.guards.printable import printable

PREFIX = "gradlens: "

# Number of this process where another one of the same training speaks for it.
_rank: int | None = None


def follow(rank: int) -> None:
    """Leaves it to the first process of a training to say what all of them would say.

    Args:
        rank: Number of this process.
    """
    global _rank
    _rank = rank


def say(text: str, *, everywhere: bool = False) -> None:
    """Prints one line; a closed standard error is no reason to stop a training.

    Args:
        text: The line.
        everywhere: Whether each process of a training says it for itself.
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
