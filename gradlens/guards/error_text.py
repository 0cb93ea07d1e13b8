"""Writes an error in one line (torch's errors can fill a screen), and says how an error ends a run."""

from __future__ import annotations

# Longest text in characters; the rest is cut off.
LONGEST = 300


def in_one_line(error: BaseException) -> str:
    """Returns the type of an error and the first line of its message, at most LONGEST characters and "..."."""
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def ending(error: BaseException | None) -> tuple[str, str | None]:
    """Returns how a run ends when its ``with`` block ends: its status, and the reason.

    Args:
        error: The error that left the block; None if there was none.
    """
    if error is None:
        return "finished", None
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "KeyboardInterrupt"
    return "failed", f"{type(error).__name__}: {error}"
