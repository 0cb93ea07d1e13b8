"""Errors in one line (torch's can fill a screen with kernels and stack frames), and how a run ends that one leaves."""

from __future__ import annotations

# Longest text; what follows is not worth a line of a log.
LONGEST = 300


def in_one_line(error: BaseException) -> str:
    """Returns the type and the first line of an error's message."""
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def ending(error: BaseException | None) -> tuple[str, str | None]:
    """Returns the status of a run whose ``with`` block was left by this error, or by none, and the reason."""
    if error is None:
        return "finished", None
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "KeyboardInterrupt"
    return "failed", f"{type(error).__name__}: {error}"
