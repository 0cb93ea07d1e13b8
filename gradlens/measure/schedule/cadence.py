"""Cadence: decides which optimizer steps are measured: every n-th, or as many as a budget of time allows."""

from __future__ import annotations

from collections import deque
from math import ceil
from statistics import median
from typing import Protocol

from gradlens.measure.schedule.clock import HOOKS

# Part of a budget that the hooks may use up. Without a limit nothing would be measured where steps take less than 0.24 ms.
OF_HOOKS = 0.8
# Between two measurements lies at least this part of the training time that pays for one.
APART = 0.5


class Cadence(Protocol):
    """Decides which steps are measured."""

    def due(self, step: int) -> bool:
        """Says whether optimizer step ``step`` is to be measured."""

    def spent(self, training: float, measuring: float) -> None:
        """Is called after a measured step.

        Args:
            training: Seconds of training since the last call of ``spent`` or ``passed``.
            measuring: Seconds that measuring added.
        """

    def passed(self, steps: int, training: float) -> None:
        """Is called after steps that were not measured.

        Args:
            steps: How many.
            training: Seconds that training took in them.
        """

    def ahead(self, step: int, seconds: float) -> int:
        """Returns about how many steps after ``step`` the next one is due, at least 1.

        Args:
            step: Number of the current step.
            seconds: Seconds of a typical step; 0 if not known.
        """
        ...

    def earliest(self, step: int, now: float) -> tuple[int, float]:
        """Returns until when no step can be due: a step number and a moment. A step is due only when both are reached.

        Args:
            step: Number of the current step, which is not due.
            now: The present moment, in seconds of ``time.perf_counter``.
        """
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
        """Does nothing: time does not matter here."""

    def passed(self, steps: int, training: float) -> None:
        """Does nothing: time does not matter here."""

    def ahead(self, step: int, seconds: float) -> int:  # noqa: ARG002
        """See ``Cadence.ahead``."""
        return self._n - step % self._n

    def earliest(self, step: int, now: float) -> tuple[int, float]:  # noqa: ARG002
        """See ``Cadence.earliest``."""
        return step + self._n - step % self._n, 0.0

    def __str__(self) -> str:
        return "every step" if self._n == 1 else f"every {self._n} steps"


class Budget:
    """Measures as often as possible within a fraction of the training time.

    The first step is measured. After that, a step is measured when the training time so far allows one more measurement of
    the usual cost. Only the time of training itself counts, without measuring. If steps are very short, the time of gradlens'
    hooks matters, too: they may use up to four fifths of the budget.

    The first measurement is checked and takes several times as long as later ones. So the second is expected to take as long,
    and comes late. What is left over then is not spent at once on neighbouring steps, whose gradients are alike, but over time:
    measurements are at least half of their usual distance apart.

    Attributes:
        fraction: Time of measuring over time of training, above 0 and at most 1.
    """

    def __init__(self, fraction: float) -> None:
        if not 0 < fraction <= 1:
            raise ValueError(
                f"budget={fraction!r}; give the fraction of training time that may go to measuring, such as 0.05"
            )
        self.fraction = fraction
        self._earned = 0.0
        self._spent = 0.0
        # The training time at the beginning of the last measured step.
        self._measured_at = 0.0
        self._costs: deque[float] = deque(maxlen=9)
        # The expected seconds of one more measurement. It is kept here because every step asks for it.
        self._expected: float | None = None

    def due(self, step: int) -> bool:  # noqa: ARG002
        """See ``Cadence.due``."""
        return self._expected is None or self._lacking <= 0

    def spent(self, training: float, measuring: float) -> None:
        """See ``Cadence.spent``."""
        if measuring > 0:
            self._measured_at = self._earned
            self._costs.append(measuring)
            self._expected = median(self._costs)
            self._spent += measuring
        self._earned += training

    def passed(self, steps: int, training: float) -> None:
        """See ``Cadence.passed``."""
        hooks = HOOKS * steps
        earned = max(training - hooks, 0.0)
        self._earned += earned
        self._spent += min(hooks, OF_HOOKS * self.fraction * earned)

    def ahead(self, step: int, seconds: float) -> int:
        """See ``Cadence.ahead``. Returns 1 if ``step`` itself is due, because its cost is not known yet."""
        if seconds <= 0 or self._expected is None or self.due(step):
            return 1
        return max(1, ceil(self._lacking / seconds))

    def earliest(self, step: int, now: float) -> tuple[int, float]:
        """See ``Cadence.earliest``. The training time cannot grow faster than the clock."""
        return step + 1, now + self._lacking

    @property
    def _lacking(self) -> float:
        """Seconds of training that are missing until the next measurement fits the budget; 0 or less: none are."""
        expected = self._expected or 0.0
        enough = (self._spent + expected) / self.fraction
        apart = self._measured_at + APART * expected / self.fraction
        return max(enough, apart) - self._earned

    def __str__(self) -> str:
        return f"within {100 * self.fraction:.3g}% of the training time"
