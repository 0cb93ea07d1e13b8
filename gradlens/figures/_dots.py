"""Dots on lines whose values stand alone."""

from __future__ import annotations

import numpy as np

from gradlens.figures._sheet import Trace, scatter

# Single steps that are this few are dots on their line, which would else pretend to know what lies between.
DOTS = 24


def dots_on(drawn: Trace, window: int) -> list[Trace]:
    """Returns the dots on a line, if any: where a value between two gaps makes no line, and where there are few values.

    They are a trace of their own, so that the legend shows all lines alike.
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
