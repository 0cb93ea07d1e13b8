"""JointSteps: makes all processes of one training measure the same steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import torch
from torch.nn.parallel import DistributedDataParallel

from gradlens.autograd.shards import why_not_repeatable
from gradlens.distributed.joining import JOIN, JoinListener
from gradlens.distributed.joint_processes import JointProcesses
from gradlens.distributed.stepped_passes import combination
from gradlens.distributed.team import Outcome, Question, Vote
from gradlens.distributed.wrappers import Sharing
from gradlens.guards.error_text import in_one_line
from gradlens.guards.patches import listen
from gradlens.measure.agreement import OwnSteps
from gradlens.measure.engine_and_meter import EngineAndMeter
from gradlens.measure.faults import StepFaults
from gradlens.measure.meter import StepMeter
from gradlens.measure.recorder import Recorder
from gradlens.measure.stepped_gradient import SteppedGradient

# After at most this many steps, the processes ask again whether a step is due.
LONGEST_WAIT = 1000


class JointSteps:
    """Agrees on each step with the other processes; see ``Agreement``.

    Process 0 decides which step is measured, and after how many steps to ask again. Between these steps the processes send
    nothing. At the end of a measured step they vote: either all add up their sums, or one of them cannot and the step is not
    recorded. Until then the step is open. A process that leaves an open step early posts its vote and goes on training.

    Attributes:
        processes: The processes that train.
        open: Whether all processes still measure the current step.
        retries: False, because the other processes do not wait for a second attempt.
    """

    retries = False
    _steps: OwnSteps
    _stepped_gradient: SteppedGradient
    _recorder: Recorder

    def __init__(self, processes: JointProcesses) -> None:
        """Keeps its argument.

        Args:
            processes: The processes that train.
        """
        self.processes = processes
        self.open = False
        self._sending = self._paused = False
        self._ticks = self._next = 0
        self._speak: Callable[[str], None] = lambda _: None
        self._forget_joins: Callable[[], None] = lambda: None

    @property
    def writes(self) -> bool:
        """Whether this process writes the log."""
        return self.processes.team.rank == 0

    def attach(self, steps: OwnSteps) -> SteppedGradient:
        """See ``Agreement``."""
        self._steps = steps
        self._stepped_gradient = SteppedGradient(steps.fail, self.processes.grad_is_averaged)
        self._forget_joins = listen(
            JOIN, JoinListener(partial(steps.guard, self._pause), partial(steps.guard, self._resume))
        )
        return self._stepped_gradient

    def start(self, recorder: Recorder) -> None:
        """See ``Agreement``."""
        self._recorder, self._speak = recorder, recorder.announce
        if not self.writes:
            recorder.announce = lambda _: None  # process 0 says it for all

    def started(self, step: int) -> None:
        """See ``Agreement``."""
        how = {Sharing.BY_HAND: "no wrapper; averaged", Sharing.WRAPPED: "averaged by", Sharing.SHARDS: "sharded by"}
        gradients = f"{how[self.processes.sharing]} {self.processes.sharing.value}"
        self._recorder.event("processes", step, processes=self.processes.team.size, gradients=gradients)

    def stop(self) -> None:
        """See ``Agreement``."""
        self._forget_joins()
        self.processes.team.post(Question.LEAVE)

    def due(self) -> bool:
        """See ``Agreement``."""
        if self.processes.team.over or self._paused or self._ticks < self._next:
            return False
        begun, schedule = time.perf_counter(), self._steps.schedule
        decision: list[float] = []
        if self.writes:
            decision = [float(schedule.due()), float(schedule.ahead()), float(schedule.step)]
        vote = self.processes.team.vote(Question.SYNC, True, decision)
        schedule.clock.own(time.perf_counter() - begun)
        if vote.outcome is not Outcome.GO:
            self._take(vote)
            return False
        wait, schedule.step = int(vote.numbers[1]), int(vote.numbers[2])
        self._next = self._ticks + min(max(wait, 1), LONGEST_WAIT)
        self.open = bool(vote.numbers[0])
        return self.open

    def why_left_out(self, current: EngineAndMeter) -> str | None:
        """See ``Agreement``. With sharded parameters, a repeated backward pass could change the training."""
        if not self.open or self.processes.sharing is not Sharing.SHARDS:
            return None
        return why_not_repeatable(current.model.modules(), current.meter.params)

    def around(self, backward: Callable[[], None]) -> AbstractContextManager[Callable[[], None]]:
        """See ``Agreement``."""
        return _undelayed(self.processes.wrapper, backward)

    def decline(self) -> None:
        """See ``Agreement``."""
        if self.open:
            self.open = False
            self.processes.team.post(Question.DECLINE)

    def stepped(self, *, measured: bool) -> None:
        """See ``Agreement``."""
        self._ticks += 1
        if self.open and not measured:
            self.open = False
            self._take(self.processes.team.vote(Question.COMMIT, False))

    def commits(self, meter: StepMeter) -> bool:
        """See ``Agreement``.

        Raises:
            StepDropped: The processes have set different passes aside.
        """
        self.open = False
        vote = self.processes.team.vote(Question.COMMIT, True, [float(len(meter.passes.totals))])
        if vote.outcome is not Outcome.GO:
            self._take(vote)
            return False
        self._sending = True
        if vote.numbers[0]:
            together = combination(self._stepped_gradient.set_aside(), meter, self.processes.team)
            if together is not None:
                self._stepped_gradient.count_together(together)
        return True

    def committed(self) -> None:
        """See ``Agreement``."""
        self._sending = False

    def dropped(self) -> None:
        """See ``Agreement``."""
        self.open = self._sending = False

    def told(self) -> None:
        """See ``Agreement``."""
        if self.processes.team.over:
            self._part()

    @contextmanager
    def faulted(self, error: Exception, faults: StepFaults) -> Iterator[None]:
        """See ``Agreement``."""
        sending, self._sending = self._sending, False
        if not self.writes:
            step = self._steps.schedule.step
            self._speak(f"process {self.processes.team.rank}: step {step} could not be measured ({in_one_line(error)})")
        try:
            yield
        finally:
            if sending:
                # The others wait for tensors that this process will not send.
                self.processes.team.abandon()
                self._part()
            elif faults.over or faults.strict:
                self.processes.team.post(Question.LEAVE)

    def _take(self, vote: Vote) -> None:
        """Handles a vote whose outcome is not GO."""
        if vote.outcome is Outcome.PAUSE:
            self._paused = True
        elif vote.outcome is Outcome.OVER:
            self._part()
        elif vote.outcome is Outcome.NO:
            ranks, step = ", ".join(str(rank) for rank in vote.absent), self._steps.schedule.step
            self._recorder.event(
                "left-out", step, message=f"step {step} was not measured: process {ranks} could not measure it"
            )

    def _part(self) -> None:
        why = self.processes.team.reason or "another process measures no more"
        step = self._steps.schedule.step
        self._recorder.warn("parted", step, f"measuring stops at step {step}, training goes on: {why}")

    def _pause(self) -> None:
        """Stops measuring for now: this process has no more data, and only answers the collectives of the others (``Join``)."""
        if self._paused or self.processes.team.over or not self._steps.running():
            return
        self._paused, self.open = True, False
        self._steps.skip()
        self.processes.team.post(Question.PAUSE)

    def _resume(self) -> None:
        """Starts measuring again: no process has more data in the ``Join`` block, and all go on together."""
        if self.processes.team.over or not self._steps.running():
            return
        vote = self.processes.team.vote(Question.RESUME, True)
        if vote.outcome is not Outcome.GO:
            self._take(vote)
            return
        schedule = self._steps.schedule
        own = schedule.step
        step = int(self.processes.team.max(torch.tensor([float(own)], dtype=torch.float64)))
        if step > own and self.writes:
            self._recorder.event("left-out", own, message=f"no data here in steps {own} to {step - 1}")
        schedule.step, self._ticks, self._next, self._paused = step, 0, 0, False
        self._steps.arm_if_due()


@contextmanager
def _undelayed(wrapper: DistributedDataParallel | None, backward: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Delays the all-reduce of DDP with a static graph during gradlens' own passes of the first step.

    In that step DDP starts its all-reduce at the end of the first backward pass. It must be the training's pass.

    Yields:
        The training's backward pass to run, in which the all-reduce starts as usual.
    """
    flag = "_static_graph_delay_allreduce_enqueued"
    if wrapper is None or not wrapper.static_graph or getattr(wrapper, flag, True):
        yield backward
        return
    ran = False

    def as_ever() -> None:
        nonlocal ran
        ran = True
        setattr(wrapper, flag, False)
        backward()

    setattr(wrapper, flag, True)
    try:
        yield as_ever
    finally:
        if not ran:
            setattr(wrapper, flag, False)
