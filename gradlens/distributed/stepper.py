"""SharedStepper: the stepper of one process of several, in step with the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from gradlens.autograd.shards import why_not_repeatable
from gradlens.batch.rows import LabelsError
from gradlens.distributed.joining import JOIN, JoinListener
from gradlens.distributed.stepped_gradient import SharedSteppedGradient
from gradlens.distributed.team import Outcome, Question, Team, Vote
from gradlens.distributed.together import StepDropped, Together
from gradlens.distributed.wrappers import Sharing
from gradlens.groups import ClassGroups
from gradlens.guards.error_text import in_one_line
from gradlens.guards.patches import listen
from gradlens.guards.run_once import Once
from gradlens.measure.recorder import Recorder
from gradlens.measure.schedule.cadence import Cadence
from gradlens.measure.stepper import Stepper

# Steps after which the processes look again whether one is to be measured, at the latest.
LONGEST_WAIT = 1000


class SharedStepper(Stepper):
    """Measures the same steps in all processes.

    Process 0 decides which step is measured, and in how many steps to look again; in between nothing is communicated. A
    measured step is open until all processes have agreed, by a vote, to add up what they hold, or that one of them cannot.
    A process that leaves an open step early posts its vote and goes on training.
    """

    def __init__(
        self,
        team: Team,
        sharing: Sharing,
        wrapper: DistributedDataParallel | None,
        model: nn.Module,
        groups: ClassGroups,
        cadence: Cadence,
        engine: str,
        optimizer: torch.optim.Optimizer | None,
        *,
        update: bool,
        strict: bool,
    ) -> None:
        """Prepares; nothing is measured before ``start``.

        Args:
            team: The processes.
            sharing: Who holds which gradients.
            wrapper: The DDP wrapper of the model, or None.
            model: The model.
            groups: K groups.
            cadence: Which steps are measured; process 0's counts.
            engine: One of ``gradlens.choices.ENGINES``.
            optimizer: Its ``step`` ends a training step; None = every backward pass is a step.
            update: Whether to measure what the optimizer takes off the parameters.
            strict: Whether internal errors are raised.

        Raises:
            ValueError: No parameter wants a gradient.
        """
        self.team, self._model = team, model
        self._together = Together(team, sharing, wrapper, groups)
        self._open = self._sending = self._paused = False
        self._ticks = self._next = 0
        self._speak: Callable[[str], None] = lambda _: None
        super().__init__(self._together, model, groups, cadence, engine, optimizer, update=update, strict=strict)
        self._stepped_gradient = self._stepped_together = SharedSteppedGradient(self._fault, self._together)
        self._forget_joins = listen(
            JOIN, JoinListener(partial(self._guard, self._pause), partial(self._guard, self._resume))
        )

    @property
    def writes(self) -> bool:
        """Whether this process writes the log."""
        return self.team.rank == 0

    def start(self, recorder: Recorder, step: int) -> None:
        """Begins; see ``Stepper.start``."""
        self._speak = recorder.announce
        if not self.writes:
            recorder.announce = lambda _: None  # all processes would say the same
        super().start(recorder, step)
        how = {Sharing.BY_HAND: "no wrapper; averaged", Sharing.WRAPPED: "averaged by", Sharing.SHARDS: "sharded by"}
        recorder.event(
            "processes",
            step,
            processes=self.team.size,
            gradients=f"{how[self._together.sharing]} {self._together.sharing.value}",
        )

    def stop(self) -> None:
        """Removes every hook, delivers what is waiting, and leaves the other processes."""
        self._forget_joins()
        super().stop()
        self.team.post(Question.LEAVE)

    def _run(self, measured: Callable[[Once], None], backward: Callable[[], None]) -> None:
        if self._open and self._together.sharing is Sharing.SHARDS:
            self._decline_unrepeatable()
        if not self._open:  # the others do not measure this step any more
            backward()
            self._end_without_optimizer()
            return
        try:
            with _undelayed(self._together.wrapper, backward) as guarded:
                super()._run(measured, guarded)
        except LabelsError:
            self._disarm()
            raise

    def _decline_unrepeatable(self) -> None:
        """Leaves the step out, before anything of ours has run, if repeating its backward pass could change the training."""
        why = why_not_repeatable(self._model.modules(), self.fitting.meter.params)
        if why is not None:
            self.skip()
            self._recorder.warn("left-out", self.schedule.step, f"step {self.schedule.step} was not measured: {why}")

    def _after_step(self) -> None:
        self._ticks += 1
        if self._open and not (self.armed and self.fitting.meter.begun):
            self._open = False
            self._take(self.team.vote(Question.COMMIT, False))
        super()._after_step()
        # Not each process may have added its part to the count that the checks go by.
        self._measuring.steps = self._together.committed

    def _commit(self) -> None:
        begun = time.perf_counter()
        self._open = False
        set_aside = len(self.fitting.meter.passes.totals)
        vote = self.team.vote(Question.COMMIT, True, [float(set_aside)])
        self.schedule.clock.own(time.perf_counter() - begun)
        if vote.outcome is not Outcome.GO:
            if self._update is not None:
                self._update.forget()
            self.fitting.reset()
            self._take(vote)
            return
        self._sending = True
        if vote.numbers[0]:
            self._stepped_together.decide(self.fitting.meter)
        super()._commit()
        self._sending = False

    def _arm_if_due(self) -> None:
        if not self._running or self.team.over or self._paused or self._ticks < self._next:
            return
        begun = time.perf_counter()
        decision: list[float] = []
        if self.writes:
            due = self.schedule.due()
            decision = [float(due), float(self.schedule.ahead()), float(self.schedule.step)]
        vote = self.team.vote(Question.SYNC, True, decision)
        self.schedule.clock.own(time.perf_counter() - begun)
        if vote.outcome is not Outcome.GO:
            self._take(vote)
            return
        due, wait, step = bool(vote.numbers[0]), int(vote.numbers[1]), int(vote.numbers[2])
        self._next = self._ticks + min(max(wait, 1), LONGEST_WAIT)
        self.schedule.step = step
        if due:
            self._open = True
            self._arm()

    def _disarm(self) -> None:
        if self._open:
            self._open = False
            self.team.post(Question.DECLINE)
        super()._disarm()

    def _fault(self, error: Exception) -> None:
        if isinstance(error, StepDropped):
            self._open = self._sending = False
            self._disarm()
            self.fitting.reset()
            self._recorder.event(
                "left-out", self.schedule.step, message=f"step {self.schedule.step} was not measured: {error}"
            )
            if self.team.over:
                self._part()
            return
        sending, self._sending = self._sending, False
        if not self.writes:
            self._speak(
                f"process {self.team.rank}: step {self.schedule.step} could not be measured ({in_one_line(error)})"
            )
        try:
            super()._fault(error)
        finally:
            if sending:
                # The others wait for what this process will not send.
                self.team.abandon()
                self._part()
            elif self._faults.over or self._faults.strict:
                self.team.post(Question.LEAVE)

    def _take(self, vote: Vote) -> None:
        """Takes a vote that did not go through."""
        if vote.outcome is Outcome.PAUSE:
            self._paused = True
        elif vote.outcome is Outcome.OVER:
            self._part()
        elif vote.outcome is Outcome.NO:
            ranks = ", ".join(str(rank) for rank in vote.absent)
            self._recorder.event(
                "left-out",
                self.schedule.step,
                message=f"step {self.schedule.step} was not measured: process {ranks} could not measure it",
            )

    def _part(self) -> None:
        why = self.team.reason or "another process measures no more"
        step = self.schedule.step
        self._recorder.warn("parted", step, f"measuring stops at step {step}, training goes on: {why}")

    def _pause(self) -> None:
        """This process has no more data, and answers the collectives of the others (``Join``) until they have none either."""
        if self._paused or self.team.over or not self._running:
            return
        self._paused, self._open = True, False
        super()._disarm()
        self.fitting.reset()
        self.team.post(Question.PAUSE)

    def _resume(self) -> None:
        """All processes have run out of data, and go on together."""
        if self.team.over or not self._running:
            return
        vote = self.team.vote(Question.RESUME, True)
        if vote.outcome is not Outcome.GO:
            self._take(vote)
            return
        own = self.schedule.step
        step = int(self.team.max(torch.tensor([float(own)], dtype=torch.float64)))
        if step > own and self.writes:
            self._recorder.event("left-out", own, message=f"no data here in steps {own} to {step - 1}")
        self.schedule.step, self._ticks, self._next, self._paused = step, 0, 0, False
        self._arm_if_due()


@contextmanager
def _undelayed(wrapper: DistributedDataParallel | None, backward: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Keeps our own passes through a static graph's first step from starting the all-reduce that waits for the training's.

    Yields:
        The backward pass, during which that is as ever.
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
