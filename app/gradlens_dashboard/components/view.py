"""The zoom of a figure, as the address says it. The browser writes and reads it; the server needs only the window.

``zoom.KEY=x 100 500`` holds the two ends of an axis of the figure KEY. ``hide.KEY=tail`` names a line that is hidden.
"""

from __future__ import annotations

import math

from gradlens_dashboard.components.address import asked


def window(key: str) -> tuple[float, float] | None:
    """Returns (low, high) of the horizontal axis from the address; None = the whole axis, also if the address is invalid."""
    for axis, *ends in filter(None, map(str.split, asked(f"zoom.{key}"))):
        try:
            low, high = map(float, ends)
        except ValueError:
            continue
        if axis.startswith("x") and math.isfinite(high - low) and low != high:
            return low, high
    return None
