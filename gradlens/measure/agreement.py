"""Agreement: decides which steps are measured, together with the other processes of the training.

``Agreement`` is the interface. ``SingleProcessAgreement`` is the one for a training in a single process;
``gradlens.distributed.joint_steps`` has the one for several processes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from gradlens.measure.engine_and_meter import EngineAndMeter
from gradlens.measure.faults import StepFaults
from gradlens.measure.meter import StepMeter
from gradlens.measure.processes import SingleProcess, TrainingProcesses
from gradlens.measure.recorder import Recorder
from gradlens.measure.schedule.schedule import MeasurementSchedule
from gradlens.measure.stepped_gradient import SteppedGradient


@dataclass(frozen=True)
class OwnSteps:
    """What an ``Agreement`` may ask of the steps of this process.

    Attributes:
        schedule: The number of the current step, and which steps are due.
        running: Says whether steps are measured at all.
        skip: Leaves the current step unmeasured.
        arm_if_due: Arms the next step if it is to be measured.
        guard: Runs a function and handles its errors.
        fail: Handles an error of gradlens.
    """

    schedule: MeasurementSchedule
    running: Callable[[], bool]
    skip: Callable[[], None]
    arm_if_due: Callable[[], None]
    guard: Callable[[Callable[[], None]], None]
    fail: Callable[[Exception], None]


class Agreement(Protocol):
    """Agrees on each step of a training.

    A step that is to be measured is armed. An armed step is open until all processes agree to record it (it is committed), or
    until one of them declines.

    Attributes:
        open: Whether all processes still measure the current step.
        retries: Whether the script may call a backward pass again in the same step after an error about its labels.
    """

    open: bool
    retries: bool

    @property
    def processes(self) -> TrainingProcesses:
        """The processes that train, for the meter's questions."""
        ...

    @property
    def writes(self) -> bool:
        """Whether this process writes the log."""
        ...

    def attach(self, steps: OwnSteps) -> SteppedGradient:
        """Keeps ``steps``. Returns the object that compares the optimizer's gradient with the measured one."""
        ...

    def start(self, recorder: Recorder) -> None:
        """Begins. Warnings and events go to ``recorder``."""

    def started(self, step: int) -> None:
        """Is called once, after the first step was armed if it is due.

        Args:
            step: Number of that step in this process.
        """

    def stop(self) -> None:
        """Leaves the other processes."""

    def due(self) -> bool:
        """Says whether the coming step is measured."""
        ...

    def why_left_out(self, current: EngineAndMeter) -> str | None:
        """Returns why the backward pass that comes now cannot be measured; None if it can."""
        ...

    def around(self, backward: Callable[[], None]) -> AbstractContextManager[Callable[[], None]]:
        """Returns a context in which gradlens may run its own passes. It yields the training's backward pass to run."""
        ...

    def decline(self) -> None:
        """Tells the other processes that this one does not measure the current step."""

    def stepped(self, *, measured: bool) -> None:
        """Is called after each step of the training.

        Args:
            measured: Whether this process has measured it.
        """

    def commits(self, meter: StepMeter) -> bool:
        """Says whether the measured step is recorded: all processes must have measured it."""
        ...

    def committed(self) -> None:
        """Is called when this process has sent everything of a step that the others wait for."""

    def dropped(self) -> None:
        """Is called when the other processes have dropped the current step."""

    def told(self) -> None:
        """Warns if the processes have stopped measuring together. It is called after a step was dropped."""

    def faulted(self, error: Exception, faults: StepFaults) -> AbstractContextManager[None]:
        """Returns a context in which an error of gradlens is handled."""
        ...


class SingleProcessAgreement:
    """The agreement of a single process: it decides alone."""

    open = True
    retries = True
    writes = True

    def __init__(self) -> None:
        self.processes = SingleProcess()
        self._schedule: MeasurementSchedule | None = None

    def attach(self, steps: OwnSteps) -> SteppedGradient:
        """See ``Agreement``."""
        self._schedule = steps.schedule
        return SteppedGradient(steps.fail)

    def start(self, recorder: Recorder) -> None:
        """See ``Agreement``."""

    def started(self, step: int) -> None:
        """See ``Agreement``."""

    def stop(self) -> None:
        """See ``Agreement``."""

    def due(self) -> bool:
        """See ``Agreement``."""
        assert self._schedule is not None
        if self._schedule.due():
            return True
        self._schedule.rest()
        return False

    def why_left_out(self, current: EngineAndMeter) -> str | None:  # noqa: ARG002
        """See ``Agreement``."""
        return None

    def around(self, backward: Callable[[], None]) -> AbstractContextManager[Callable[[], None]]:
        """See ``Agreement``."""
        return nullcontext(backward)

    def decline(self) -> None:
        """See ``Agreement``."""

    def stepped(self, *, measured: bool) -> None:
        """See ``Agreement``."""

    def commits(self, meter: StepMeter) -> bool:  # noqa: ARG002
        """See ``Agreement``."""
        return True

    def committed(self) -> None:
        """See ``Agreement``."""

    def dropped(self) -> None:
        """See ``Agreement``."""

    def told(self) -> None:
        """See ``Agreement``."""

    def faulted(self, error: Exception, faults: StepFaults) -> AbstractContextManager[None]:  # noqa: ARG002
        """See ``Agreement``."""
        return nullcontext()
