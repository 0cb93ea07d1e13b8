"""Writes numbers as text, in the same way for the terminal, reports and the dashboard."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradlens.analysis.compare import Difference
    from gradlens.analysis.row import Headline
    from gradlens.estimation.interval import Interval
    from gradlens.metrics.catalogue import Quantity

# A smaller number beside 1 is only the rounding of a difference or an angle.
ROUNDING = 1e-12


def headline_text(seen: Headline) -> str:
    """Returns the distortion of a run with its interval and, if there are several phases, that of the last one."""
    whole, last = headline_numbers(seen)
    return f"{whole} ({seen.phase}: {last})" if seen.phase else whole


def headline_numbers(seen: Headline) -> tuple[str, str]:
    """Returns the distortion of a run and that of its last phase ("" if there is only one phase), with their intervals.

    "~" stands before a number that comes from few steps.
    """
    few = "~" if seen.few else ""
    whole = interval_text(seen.distortion, fraction=False)
    return (whole, few + interval_text(seen.last_phase, fraction=False)) if seen.phase else (few + whole, "")


def difference_cells(row: Difference) -> tuple[str, str, str]:
    """Returns texts of both runs' means and their difference, with intervals."""
    return (
        interval_text(row.a, fraction=row.percent),
        interval_text(row.b, fraction=row.percent),
        difference_text(row.difference, (row.a, row.b), fraction=row.percent),
    )


def low_high(x: Interval) -> str:
    """Returns the interval without the value; "" if there is none."""
    return _low_high(x, partial(number, rounding=0.0)).strip()


def interval_text(x: Interval, *, fraction: bool) -> str:
    """Returns an estimate and its interval as text: fractions in percent; other numbers without rounding to zero."""
    write = percent if fraction else partial(number, rounding=0.0)
    return write(x.value) + _low_high(x, write)


def difference_text(x: Interval, means: Sequence[Interval], *, fraction: bool) -> str:
    """Returns a difference with its sign and its interval as text: differences of fractions in percentage points.

    Args:
        x: The difference.
        means: The two means. A difference that is only rounding beside them is written as zero.
        fraction: Whether the means are fractions.
    """
    size = max((abs(mean.value) for mean in means if math.isfinite(mean.value)), default=0.0)
    write = _points if fraction else partial(number, rounding=ROUNDING * size)
    sign = "+" if 0 < x.value < math.inf else ""
    unit = " points" if fraction and math.isfinite(x.value) else ""
    return sign + write(x.value) + unit + _low_high(x, write)


def _low_high(x: Interval, write: Callable[[float], str]) -> str:
    return f" [{write(x.low)}, {write(x.high)}]" if x.measurable else ""


def _points(value: float) -> str:
    return percent(value).removesuffix("%")


def mean_text(quantity: Quantity, value: float) -> str:
    """Returns a mean of a quantity as text, in the form for its unit. Norms are not rounded to zero."""
    from gradlens.metrics.catalogue import Unit  # here: a list of runs shows no quantity

    if quantity.percent:
        return percent(value)
    return number(value, 0.0) if quantity.unit is Unit.GRADIENT else number(value)


def number(value: float | None, rounding: float = ROUNDING) -> str:
    """Returns a number as text with three or four significant digits; "-" if it is None or not finite.

    Args:
        value: The number.
        rounding: Smaller numbers are written as zero.
    """
    if value is None or not math.isfinite(value):
        return "-"
    if value == 0 or abs(value) < rounding:
        return "0.000"
    if not 1e-3 <= abs(value) < 1e5:
        return f"{value:.2e}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def percent(value: float) -> str:
    """Returns a fraction as text in percent; "-" if it is not finite."""
    # Adding 0 turns the -0 that rounding leaves into 0.
    return f"{round(value, 3) + 0.0:.1%}" if math.isfinite(value) else "-"
