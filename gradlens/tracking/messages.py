"""What tracking says: lines on the process's own standard error, whatever the script does with ``sys.stderr``."""

from __future__ import annotations

import sys

PREFIX = "gradlens: "


def say(text: str) -> None:
    """Prints one line; a closed standard error is no reason to stop a training."""
    stream = sys.__stderr__
    if stream is None:
        return
    try:
        stream.write(f"{PREFIX}{text}\n")
        stream.flush()
    except (OSError, ValueError):
        return
