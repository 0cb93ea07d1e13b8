"""Cadence: which optimizer steps are measured."""

from __future__ import annotations

from collections import deque
from math import ceil
from statistics import median
from typing import Protocol

# Seconds that hooks take in a step that is not measured, about; they are too short for a clock of their own.
HOOKS = 10e-6


class Cadence(Protocol):
    """Decides, at the end of a step, whether the next one is measured."""

    def due(self, step: int) -> bool:
        """Says whether optimizer step ``step`` is to be measured."""

    def spent(self, training: float, measuring: float) -> None:
        """Takes down how many seconds of the last step training took, and how many measuring added."""

    def passed(self, steps: int, training: float) -> None:
        """Takes down how many steps went by without measuring, and the seconds that training took in them."""

    def ahead(self, step: int, seconds: float) -> int:
        """Says in about how many steps after ``step`` one is due, at least 1, if a step takes so many seconds."""
        ...

    def earliest(self, step: int, now: float) -> tuple[int, float]:
        """Says before which step, and before which moment, none is due, where ``step`` is not and it is ``now``."""
        ...


class Every:
    """Measures every n-th step, beginning with step 0."""

    def __init__(self, n: int) -> None:
        if not isinstance(n, int) or n < 1:
            raise ValueError(f"every={n!r}; give the number of steps from one measurement to the next, at least 1")
        self._n = n

    def due(self, step: int) -> bool:
        """See ``Cadence.due``."""
        return step % self._n == 0

    def spent(self, training: float, measuring: float) -> None:
        """Time does not matter here."""

    def passed(self, steps: int, training: float) -> None:
        """Nor here."""

    def ahead(self, step: int, seconds: float) -> int:  # noqa: ARG002
        """See ``Cadence.ahead``."""
        return self._n - step % self._n

    def earliest(self, step: int, now: float) -> tuple[int, float]:  # noqa: ARG002
        """See ``Cadence.earliest``."""
        return step + self._n - step % self._n, 0.0

    def __str__(self) -> str:
        return "every step" if self._n == 1 else f"every {self._n} steps"


class Budget:
    """Measures as often as keeps the time spent on it within a fraction of the training time.

    The first step is measured; from then on a step is measured once training has earned what one more measurement is
    expected to cost. Only time that training takes without measuring counts as earned. Where steps are so short that hooks
    weigh something, they use up to half of the budget.
    """

    def __init__(self, fraction: float) -> None:
        if not 0 < fraction <= 1:
            raise ValueError(
                f"budget={fraction!r}; give the fraction of training time that may go to measuring, such as 0.05"
            )
        self.fraction = fraction
        self._earned = 0.0
        self._spent = 0.0
        self._costs: deque[float] = deque(maxlen=9)
        # What one more measurement is expected to cost; a training asks for it in every step.
        self._expected: float | None = None

    def due(self, step: int) -> bool:  # noqa: ARG002
        """See ``Cadence.due``."""
        return self._expected is None or self._spent + self._expected <= self.fraction * self._earned

    def spent(self, training: float, measuring: float) -> None:
        """See ``Cadence.spent``."""
        self._earned += training
        if measuring > 0:
            self._costs.append(measuring)
            self._expected = median(self._costs)
            self._spent += measuring

    def passed(self, steps: int, training: float) -> None:
        """See ``Cadence.passed``."""
        self._earned += training
        self._spent += min(HOOKS * steps, 0.5 * self.fraction * training)

    def ahead(self, step: int, seconds: float) -> int:
        """See ``Cadence.ahead``; 1 where ``step`` itself is due, since its cost is not known yet."""
        if seconds <= 0 or self._expected is None or self.due(step):
            return 1
        return max(1, ceil(self._lacking / seconds))

    def earliest(self, step: int, now: float) -> tuple[int, float]:
        """See ``Cadence.earliest``: training earns no more than the time that goes by."""
        return step + 1, now + self._lacking

    @property
    def _lacking(self) -> float:
        """Seconds of training until the next measurement is earned."""
        return ((self._expected or 0.0) + self._spent) / self.fraction - self._earned

    def __str__(self) -> str:
        return f"within {100 * self.fraction:.3g}% of the training time"
