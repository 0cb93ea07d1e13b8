"""MeasurementSchedule: where a training is, which of its steps are measured, and what that costs."""

from __future__ import annotations

from gradlens.cadence import Cadence
from gradlens.clock import Clock


class MeasurementSchedule:
    """A cadence and the clock that it goes by.

    Most steps of most trainings are not measured, and whatever runs in them costs time: the cadence says before which step
    and moment it need not be asked again, and the clock's account waits until then.

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
        self._step = 0
        self._passed = 0
        self._not_before = 0, 0.0

    @property
    def step(self) -> int:
        """Number of the current optimizer step."""
        return self._step

    @step.setter
    def step(self, number: int) -> None:
        self._step = number
        self._not_before = 0, 0.0

    def pass_over(self) -> bool:
        """Ends a step that was not measured; returns whether it has to be asked if the next one is ``due``."""
        self._step += 1
        self._passed += 1
        step, moment = self._not_before
        return self.clock.pass_over() >= moment and self._step >= step

    def end(self, *, measured: bool) -> None:
        """Ends a step that was to be measured; ``measured``: it was."""
        self._take_down_passed()
        plain, added = self.clock.step_ended(measured)
        self._cadence.spent(plain, added if measured else 0.0)
        self._step += 1

    def due(self) -> bool:
        """Says whether the current step is to be measured."""
        self._take_down_passed()
        return self._cadence.due(self._step)

    def rest(self) -> None:
        """Takes note that the current step is not due, and that the same holds of those before the next that can be."""
        self._not_before = self._cadence.earliest(self._step, self.clock.now)

    def ahead(self) -> int:
        """Says in about how many steps one is due, at least 1."""
        return self._cadence.ahead(self._step, self.clock.typical)

    def _take_down_passed(self) -> None:
        self._cadence.passed(self._passed, self.clock.settle())
        self._passed = 0
