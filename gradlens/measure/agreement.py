"""Agreement: which steps are measured, as the processes of a training agree on it; ``Solo`` decides for a single one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from gradlens.measure.engine_and_meter import EngineAndMeter
from gradlens.measure.faults import StepFaults
from gradlens.measure.meter import StepMeter
from gradlens.measure.processes import Alone, TrainingProcesses
from gradlens.measure.recorder import Recorder
from gradlens.measure.schedule.schedule import MeasurementSchedule
from gradlens.measure.stepped_gradient import SteppedGradient


@dataclass(frozen=True)
class OwnSteps:
    """The steps of this process, for who agrees on them.

    Attributes:
        schedule: Where the training is, and which of its steps are due.
        running: Says whether steps are measured at all.
        skip: Leaves the current step unmeasured.
        arm_if_due: Arms the coming step if it is to be measured.
        guard: Runs something, and takes its errors.
        fail: Takes an error of ours.
    """

    schedule: MeasurementSchedule
    running: Callable[[], bool]
    skip: Callable[[], None]
    arm_if_due: Callable[[], None]
    guard: Callable[[Callable[[], None]], None]
    fail: Callable[[Exception], None]


class Agreement(Protocol):
    """Agrees on each step of a training. An armed step is open until it is committed or declined.

    Attributes:
        open: Whether all processes still measure the current step.
        retries: Whether a backward pass with wrong labels may be run again within the step.
    """

    open: bool
    retries: bool

    @property
    def processes(self) -> TrainingProcesses:
        """The processes that train, as the meter asks them."""
        ...

    @property
    def writes(self) -> bool:
        """Whether this process writes the log."""
        ...

    def attach(self, steps: OwnSteps) -> SteppedGradient:
        """Takes the steps of this process; returns what tells whether an optimizer steps on what was measured."""
        ...

    def start(self, recorder: Recorder) -> None:
        """Begins; what is to be said goes to ``recorder``."""

    def started(self, step: int) -> None:
        """Takes note that the first step, of this number here, may be armed."""

    def stop(self) -> None:
        """Leaves the other processes."""

    def due(self) -> bool:
        """Decides before a step whether it is measured."""
        ...

    def why_left_out(self, current: EngineAndMeter) -> str | None:
        """Returns why a backward pass that is about to run cannot be measured here, or None."""
        ...

    def around(self, backward: Callable[[], None]) -> AbstractContextManager[Callable[[], None]]:
        """Keeps our own passes apart from the training's; yields the backward pass to run."""
        ...

    def decline(self) -> None:
        """Tells that this process does not measure the current step."""

    def stepped(self, *, measured: bool) -> None:
        """Takes note that a step of the training is over, and whether this process has measured it."""

    def commits(self, meter: StepMeter) -> bool:
        """Agrees that a measured step counts; says whether it does."""
        ...

    def committed(self) -> None:
        """Takes note that all of a step has been told to the other processes."""

    def dropped(self) -> None:
        """Takes note that the other processes have dropped the current step."""

    def told(self) -> None:
        """Says that the processes have parted, if dropping the step meant that."""

    def faulted(self, error: Exception, faults: StepFaults) -> AbstractContextManager[None]:
        """Surrounds what is done about an error of ours."""
        ...


class Solo:
    """A single process."""

    open = True
    retries = True
    writes = True

    def __init__(self) -> None:
        self.processes = Alone()
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
