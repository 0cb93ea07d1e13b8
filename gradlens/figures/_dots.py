"""Dots on a line: for single values between gaps, and for lines with few values."""

from __future__ import annotations

import numpy as np

from gradlens.figures._sheet import Trace, scatter

# A line with at most this many single steps has a dot on each, since nothing is known between them.
DOTS = 24


def dots_on(drawn: Trace, window: int) -> list[Trace]:
    """Returns the dots on a line as a list of one trace, or an empty list if it needs none.

    A value between two gaps gets a dot, since one value makes no line. If single steps are drawn and they are few, each gets
    a dot. The dots are a trace of their own, so that the legend shows all lines alike.

    Args:
        drawn: The trace of the line.
        window: Measured steps in the running mean; 1 = single steps.
    """
    y = drawn["y"]
    there = np.isfinite(y)
    lonely = there & ~np.append(there[1:], False) & ~np.append(False, there[:-1])
    dotted = there if window == 1 and len(y) <= DOTS else lonely
    if not dotted.any():
        return []
    shared = {key: drawn[key] for key in ("legendgroup", "name")}
    marker = {"color": drawn["line"]["color"], "size": 5, "symbol": drawn.get("marker", {}).get("symbol", "circle")}
    x = drawn["x"][dotted]
    return [scatter(x=x, y=y[dotted], mode="markers", marker=marker, hoverinfo="skip", showlegend=False, **shared)]
