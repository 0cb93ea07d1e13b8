"""What a mirror needs of a tracker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Point:
    """The values of one step.

    Attributes:
        step: The optimizer step.
        time: Unix seconds.
        values: Name of a series -> value. NaN: it was measured and is no number.
    """

    step: int
    time: float
    values: Mapping[str, float]


class Destination(Protocol):
    """Takes points into one place of a tracker: a folder, or a run of its own.

    Attributes:
        place: The place, as text for people and for the name of the cursor.
        keeps: Whether every point that ``write`` has taken is safe when it returns, whatever happens to this process.
    """

    place: str
    keeps: bool

    def already(self, since: int) -> set[tuple[int, str]]:
        """Returns (step, name) of the points that the place has at and after a step."""
        ...

    def named(self, name: str) -> str:
        """Returns the name of a series as the tracker takes it."""
        ...

    def write(self, points: Sequence[Point]) -> None:
        """Writes points."""

    def supersede(self, step: int) -> bool:
        """Takes back what it has at and after a step. Returns False if the tracker cannot."""
        ...

    def close(self, *, over: bool) -> None:
        """Ends writing; ``over``: the training is over, too."""
