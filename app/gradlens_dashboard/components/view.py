"""What of a figure is seen, as the address says. The browser writes it there and reads it again; the server needs the window.

``zoom.KEY=x 100 500`` are the ends of an axis of the figure KEY, ``hide.KEY=tail`` is a line that the legend hides.
"""

from __future__ import annotations

import math

from gradlens_dashboard.components.address import asked


def window(key: str) -> tuple[float, float] | None:
    """Returns the stretch of the horizontal axis to which the address zooms a figure; None = all, also where it cannot be."""
    for axis, *ends in filter(None, map(str.split, asked(f"zoom.{key}"))):
        try:
            low, high = map(float, ends)
        except ValueError:
            continue
        if axis.startswith("x") and math.isfinite(high - low) and low != high:
            return low, high
    return None
