"""Durations as text."""

from __future__ import annotations


def span(seconds: float) -> str:
    """Returns a duration as text in a suitable unit: 12 ms, 3.5 s, 12 min, 3.2 h, 5 d."""
    for limit, divisor, unit, digits in (
        (1.0, 1e-3, "ms", 0), (60.0, 1.0, "s", 1), (3600.0, 60.0, "min", 0), (2 * 86400.0, 3600.0, "h", 1),
    ):  # fmt: skip
        if seconds < limit:
            return f"{seconds / divisor:.{digits}f} {unit}"
    return f"{seconds / 86400:.0f} d"
