"""Finding: one sentence about a training, with its number, and where to see it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gradlens.estimation.interval import Interval

# An interval of a finding covers the truth with this probability. Where several groups, pairs or layers are looked at, all their
# intervals together do.
LEVEL = 0.99


class Severity(Enum):
    """How much a finding matters. The order is the order in which findings are told."""

    PROBLEM = "problem"  # the training does not do what its author most likely wants
    NOTE = "note"  # good to know
    UNKNOWN = "unknown"  # the answer is hidden by noise
    FINE = "fine"  # a check that found nothing wrong


@dataclass(frozen=True)
class Finding:
    """One sentence about a training.

    Attributes:
        rule: Name of the rule that found it.
        severity: How much it matters.
        sentence: The sentence.
        number: The number on which it rests.
        interval: Its interval at ``LEVEL``; None for a count of what was recorded, which is exact.
        figure: Name of the figure of the report that shows it; "" if none does.
        advice: What people do about it; "" if there is nothing to do.
    """

    rule: str
    severity: Severity
    sentence: str
    number: float
    interval: Interval | None
    figure: str = ""
    advice: str = ""
