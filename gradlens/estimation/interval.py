"""Interval: an estimate with its confidence interval. This file needs only the standard library."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

# An interval needs at least this many values: fewer do not show whether a series is fast enough (``low_frequencies``).
FEWEST = 53


@dataclass(frozen=True)
class Interval:
    """An estimate and its confidence interval.

    Attributes:
        value: The estimate; NaN if there are no values to estimate it from.
        low: Lower end of the interval; NaN if there is no interval.
        high: Upper end of the interval; NaN if there is no interval.
        samples: How many measured steps the estimate is made from; for two series, the smaller number.
        freedom: Degrees of freedom of Student's t; 0 if there is no interval.
        why: Why there is no interval; "" if there is one.
    """

    value: float
    low: float
    high: float
    samples: int
    freedom: float
    why: str = ""

    @classmethod
    def none(cls, value: float, samples: int, why: str = "") -> Interval:
        """Returns an estimate without an interval."""
        if not why and samples < FEWEST:
            why = too_few(samples)
        return cls(value, math.nan, math.nan, samples, 0.0, why or "the values do not vary, or give no finite estimate")

    @property
    def measurable(self) -> bool:
        """Whether there is an interval."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def within(self, least: float, most: float) -> Interval:
        """Returns the interval with both ends moved into [least, most], the range of the quantity. NaN ends stay NaN."""
        return replace(self, low=_clamped(self.low, least, most), high=_clamped(self.high, least, most))

    def verdict(self, threshold: float = 0.0) -> bool | None:
        """Compares the interval with a threshold.

        Returns:
            True if it lies above the threshold, False if below, None if it contains it or there is no interval.
        """
        if not self.measurable or self.low <= threshold <= self.high:
            return None
        return self.low > threshold

    def __str__(self) -> str:
        if not self.measurable:
            return f"{self.value:.3g}" if math.isfinite(self.value) else "not measurable"
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


def too_few(samples: int, most: int | None = None) -> str:
    """Returns the reason that there are too few measured steps for an interval.

    Args:
        samples: How many steps have the needed values.
        most: The largest number, where the reason is for several estimates; ``samples`` is then the smallest.
    """
    steps = f"{samples} measured step" if samples == 1 else f"{samples} measured steps"
    if most is not None and most != samples:
        steps = f"{samples} to {most} measured steps"
    return f"{steps} can be used; an interval needs {FEWEST}"


def _clamped(value: float, least: float, most: float) -> float:
    return value if math.isnan(value) else min(max(value, least), most)
