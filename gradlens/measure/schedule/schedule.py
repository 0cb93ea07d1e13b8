"""MeasurementSchedule: where a training is, which of its steps are measured, and what that costs."""

from __future__ import annotations

import time
from math import inf

from gradlens.measure.schedule.cadence import Cadence
from gradlens.measure.schedule.clock import Clock

# Steps that may wait to be accounted for.
WAITING = 256


class MeasurementSchedule:
    """A cadence and the clock that it goes by.

    Most steps of most trainings are not measured, and whatever runs in them costs time: the cadence says before which step
    or moment it need not be asked again, and until then only the end of each step is noted.

    Attributes:
        clock: Time that training and measuring took.
    """

    def __init__(self, cadence: Cadence) -> None:
        """Begins with step 0.

        Args:
            cadence: Which steps are measured.
        """
        self._cadence = cadence
        self.clock = Clock()
        self._passed = self.clock.passed
        # Step number 0 of the training, in steps of the clock; and the steps that the cadence knows of.
        self._origin = self._told = 0
        self._limit, self._until = 0, 0.0

    @property
    def step(self) -> int:
        """Number of the current optimizer step."""
        return self.clock.steps - self._origin

    @step.setter
    def step(self, number: int) -> None:
        self._origin = self.clock.steps - number
        self._limit = 0

    def rested(self) -> bool:
        """Ends a step if nothing has to be asked after it, and says whether it did: the end of most steps of most trainings."""
        now = time.perf_counter()
        if now >= self._until or len(self._passed) >= self._limit:
            return False
        self._passed.append(now)
        return True

    def end(self, *, measured: bool) -> None:
        """Ends a step; ``measured``: it was."""
        if not measured:
            self._passed.append(time.perf_counter())
            if len(self._passed) > WAITING:  # where nothing is asked for long
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
        """Takes note that the current step is not due, and that the same holds of those before the next that can be."""
        now = self.clock.now
        step, moment = self._cadence.earliest(self.step, now)
        if moment > now:
            self._limit, self._until = WAITING, moment
        else:
            self._limit, self._until = min(step - self.step - 1, WAITING), inf

    def ahead(self) -> int:
        """Says in about how many steps one is due, at least 1."""
        return self._cadence.ahead(self.step, self.clock.typical)

    def _tell(self) -> None:
        training = self.clock.settle()
        self._cadence.passed(self.clock.steps - self._told, training)
        self._told = self.clock.steps
