"""Logarithmic axes and colour scales whose ticks are labelled with the plain numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradlens.figures._lines import RANGED, Line
from gradlens.metrics.gram import Floats

# Without a format plotly labels 20 and 50 as "2" and "5". This format writes the whole number. Only below a millionth it uses an
# exponent.
PLAIN = ",~g"
# A logarithmic axis shows at most this many decades below its top. Smaller numbers are rounding errors.
MOST_DECADES = 12


def log_axis(low: float, high: float) -> dict[str, Any]:
    """Returns plotly's settings for a logarithmic axis.

    Plotly chooses the ticks, also after zooming. It is limited to few, so that the labels 1, 2, ..., 9 do not overlap.

    Args:
        low: The smallest number on the axis.
        high: The largest number on the axis.
    """
    decades = 1.2 * math.log10(high / low) if 0 < low < high else 0.0  # with the margins
    few = {"nticks": min(max(math.ceil(decades / 0.7), 3), 4)} if decades > 1 else {}
    return {"type": "log", "tickformat": PLAIN, **few}


def log_norms(lines: Sequence[Line], *, headroom: bool = False) -> dict[str, Any]:
    """Returns plotly's settings for a logarithmic vertical axis that holds the lines, apart from outliers.

    Args:
        lines: The lines that are drawn.
        headroom: Leave room at the top for the names of phases.

    Returns:
        The settings; empty if no value is above zero.
    """
    bounds = log_bounds([line.values for line in lines])
    if bounds is None:
        return {}
    low, high = bounds
    margin = 0.04 * max(math.log10(high / low), 0.1)
    ends = [math.log10(low) - margin, math.log10(high) + margin * (3 if headroom else 1)]
    return {**log_axis(low, high), "range": ends}


def log_bounds(columns: Sequence[Floats]) -> tuple[float, float] | None:
    """Returns the smallest and the largest positive value, apart from outliers, or None if no value is above zero."""
    thinned = [values[:: max(1, len(values) // RANGED)] for values in columns]
    low, high = [], []
    for values in thinned:
        positive = values[np.isfinite(values) & (values > 0)]
        if len(positive):
            ends = np.quantile(positive, (0.003, 0.997))
            low.append(float(ends[0]))
            high.append(float(ends[1]))
    return (max(min(low), max(high) / 10**MOST_DECADES), max(high)) if low else None


def log_ticks(low: float, high: float) -> tuple[list[float], list[str]]:
    """Returns the ticks of a colour scale of logarithms from log10(low) to log10(high).

    Returns:
        The positions of the ticks (logarithms to base 10), and their labels (the numbers).
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    within = math.log10(high / low)
    steps = (1,) if within > 3 else (1, 2, 5) if within > 0.7 else (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)
    # Rounding must not lose a tick at the very end.
    numbers = [s * 10.0**e for e in decades for s in steps if low * (1 - 1e-9) <= s * 10.0**e <= high * (1 + 1e-9)]
    if len(numbers) < 2:  # all norms are almost equal
        numbers = [float(f"{end:.4g}") for end in (low, high)]
    return [math.log10(number) for number in numbers], [_text(number) for number in numbers]


def _text(number: float) -> str:
    return np.format_float_positional(number, 10, trim="-", fractional=False) if number < 1 else f"{number:,.10g}"


def counts_axis(counts: Floats) -> dict[str, Any]:
    """Returns plotly's settings for a logarithmic axis of sample counts. Its ticks are whole numbers."""
    known = counts[np.isfinite(counts) & (counts > 0)]
    if not len(known):
        return {"type": "log", "tickformat": PLAIN}
    low, high = float(known.min()), float(known.max())
    axis = log_axis(low, high)
    # In a narrow range plotly would label halves too.
    return axis | {"dtick": "L1"} if 0 < high - low < 5 and high / low < 10 else axis
