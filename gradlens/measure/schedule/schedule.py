"""MeasurementSchedule: knows the number of the current step, whether it is due, and how much time measuring takes."""

from __future__ import annotations

import time
from math import inf

from gradlens.measure.schedule.cadence import Cadence
from gradlens.measure.schedule.clock import Clock

# At most this many steps are noted before their times are added up.
WAITING = 256


class MeasurementSchedule:
    """A cadence and its clock.

    Most steps are not measured, and all that runs in them costs time. So the cadence says until which step or moment it need
    not be asked again. Until then, only the end of each step is noted.

    Attributes:
        clock: The time that training and measuring took.
    """

    def __init__(self, cadence: Cadence) -> None:
        """Begins with step 0.

        Args:
            cadence: Decides which steps are measured.
        """
        self._cadence = cadence
        self.clock = Clock()
        self._passed = self.clock.passed
        # The clock's number of the training's step 0; and the number of steps that the cadence was told of.
        self._origin = self._told = 0
        self._limit, self._until = 0, 0.0

    @property
    def step(self) -> int:
        """Number of the current optimizer step, from 0."""
        return self.clock.steps - self._origin

    @step.setter
    def step(self, number: int) -> None:
        self._origin = self.clock.steps - number
        self._limit = 0

    def rested(self) -> bool:
        """Ends a step that was not measured, if the cadence need not be asked yet. Returns whether it did.

        Most steps end here, so it must be fast.
        """
        now = time.perf_counter()
        if now >= self._until or len(self._passed) >= self._limit:
            return False
        self._passed.append(now)
        return True

    def end(self, *, measured: bool) -> None:
        """Ends a step.

        Args:
            measured: Whether it was measured.
        """
        if not measured:
            self._passed.append(time.perf_counter())
            if len(self._passed) > WAITING:  # nothing was asked for a long time
                self._tell()
            return
        self._tell()
        plain, added = self.clock.step_ended(measured=True)
        self._cadence.spent(plain, added)
        self._told = self.clock.steps

    def due(self) -> bool:
        """Says whether the current step is to be measured."""
        self._tell()
        self._limit = 0
        return self._cadence.due(self.step)

    def rest(self) -> None:
        """Is called when the current step is not due. Finds out until when ``rested`` may end steps by itself."""
        now = self.clock.now
        step, moment = self._cadence.earliest(self.step, now)
        if moment > now:
            self._limit, self._until = WAITING, moment
        else:
            self._limit, self._until = min(step - self.step - 1, WAITING), inf

    def ahead(self) -> int:
        """Returns in about how many steps the next one is due, at least 1."""
        return self._cadence.ahead(self.step, self.clock.typical)

    def _tell(self) -> None:
        training = self.clock.settle()
        self._cadence.passed(self.clock.steps - self._told, training)
        self._told = self.clock.steps
