"""Words of the sentences: groups, numbers and their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradlens.estimation.interval import Interval

# These names of groups are words of their own.
SPOKEN = ("head", "tail", "rest")
NAMED = 3


def group_text(name: str) -> str:
    """Returns how a sentence calls a group."""
    return f"the {name}" if name in SPOKEN else f"group {name}"


def whole(value: float) -> str:
    """Returns a fraction in percent."""
    return f"{round(100 * value, 1) + 0.0:.1f}%"


def percent_text(x: Interval) -> str:
    """Returns a fraction and its interval in percent. An interval without width is not written."""
    ends = "" if x.low == x.high else f" [{whole(x.low)}, {whole(x.high)}]"
    return whole(x.value) + ends


def digits(value: float) -> str:
    """Returns a number with three significant digits."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if not 1e-4 <= abs(value) < 1e5:
        return f"{value:.1e}"
    places = max(0, 3 - math.floor(math.log10(abs(value))) - 1)
    return f"{value:.{min(places, 6)}f}"


def number_text(x: Interval) -> str:
    """Returns a number and its interval. An interval without width is not written."""
    ends = "" if x.low == x.high else f" [{digits(x.low)}, {digits(x.high)}]"
    return digits(x.value) + ends


def listed(texts: Sequence[str]) -> str:
    """Returns texts as "a, b and c". Of many, the first three are named."""
    if len(texts) > NAMED + 1:
        return f"{', '.join(texts[:NAMED])} and {len(texts) - NAMED} more"
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def begun(sentence: str) -> str:
    """Returns a sentence that begins with a capital letter."""
    return sentence[:1].upper() + sentence[1:]
