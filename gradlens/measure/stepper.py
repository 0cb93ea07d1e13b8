"""Stepper: decides which steps are measured, measures them, and keeps gradlens' own errors out of the training."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from gradlens.batch.rows import LabelsError
from gradlens.groups import ClassGroups
from gradlens.guards.run_once import RunOnce
from gradlens.guards.script_hooks import taken
from gradlens.guards.script_modes import unseen
from gradlens.measure.agreement import Agreement, OwnSteps
from gradlens.measure.arming import Arming
from gradlens.measure.engine_and_meter import EngineAndMeter
from gradlens.measure.faults import StepFaults
from gradlens.measure.labelled_pass import LabelledPass
from gradlens.measure.misuse import Usage
from gradlens.measure.optimizer_hooks import StepHooks
from gradlens.measure.optimizer_update import OptimizerUpdate, Update
from gradlens.measure.pass_measuring import PassMeasuring
from gradlens.measure.processes import StepDropped
from gradlens.measure.recorder import Recorder
from gradlens.measure.schedule.cadence import Cadence
from gradlens.measure.schedule.schedule import MeasurementSchedule


class Stepper:
    """Follows a training step by step, and measures the steps that are due.

    Attributes:
        current: The engine and the meter in use.
        schedule: The number of the current step, and which steps are measured.
        arming: Whether the current step is measured.
        epoch: The epoch that is logged with the next steps, or None.
    """

    def __init__(
        self,
        agreement: Agreement,
        model: nn.Module,
        groups: ClassGroups,
        cadence: Cadence,
        engine: str,
        optimizer: torch.optim.Optimizer | None,
        *,
        update: bool | None,
        strict: bool,
    ) -> None:
        """Keeps its arguments. Nothing is measured before ``start``.

        Args:
            agreement: Decides with the other processes which steps are measured.
            model: The model.
            groups: K groups.
            cadence: Which steps are measured.
            engine: One of ``gradlens.choices.ENGINES``.
            optimizer: Its ``step`` ends a training step; None = every backward pass is a step.
            update: Whether to measure what the optimizer subtracts from the parameters; None: where nothing speaks against it.
            strict: Whether internal errors are raised.

        Raises:
            ValueError: No parameter has requires_grad.
        """
        self._agreement, self._optimizer = agreement, optimizer
        self._faults, self._usage = StepFaults(strict=strict), Usage()
        self.schedule = MeasurementSchedule(cadence)
        self.epoch: int | None = None
        self._recorder = Recorder(None, ())
        self.current = EngineAndMeter(model, groups, engine, self._engine_changed, agreement.processes)
        chosen = Update.of(update, optimizer, self.current.meter.params, len(groups), shards=agreement.processes.shards)
        self._measuring = PassMeasuring(self.current, groups, agreement.processes, keep=chosen.measured)
        self.arming = Arming(self.current, self._fault)
        self.update = OptimizerUpdate(self.arming, self.current, self.schedule.clock, chosen)
        # Inside the training's own step: no error may leave it.
        self._hooks = StepHooks(self.schedule.rested, self._after_step, self._fault)
        steps = OwnSteps(self.schedule, lambda: self._running, self.skip, self._arm_if_due, self._guard, self._fault)
        self._stepped_gradient = agreement.attach(steps)
        self._engine, self._running = engine, False

    def start(self, recorder: Recorder, step: int) -> None:
        """Begins with step number ``step``, whose results go to ``recorder``."""
        importlib.import_module("torch.fx.experimental.symbolic_shapes")  # torch.autograd.grad would do so: 1.5 s
        self._recorder = recorder
        self._agreement.start(recorder)
        recorder.on_disagreement = lambda reason: self.current.switch.replace(reason)
        self.schedule.step = step
        self._running = True
        self.update.chosen.tell(recorder, step)
        switch = self.current.switch
        if self._engine not in ("auto", switch.engine.name):  # the engine was replaced before there was a log
            self._engine_changed(switch.engine.name, switch.reason)
        self._hooks.follow(self._optimizer)
        self._arm_if_due()
        self._agreement.started(step)

    def follow(self, optimizer: torch.optim.Optimizer, *, stepped: bool = False) -> None:
        """Takes the steps of another optimizer as training steps; ``stepped``: it has just stepped in the current one."""
        self._optimizer = optimizer
        self._hooks.follow(optimizer)
        if not stepped or self.update.chosen.required:  # there is no copy of the parameters from before its step
            self.skip()
        self._hooks.over() if stepped else self._arm_if_due()

    def stop(self) -> None:
        """Removes every hook, and logs the results that are waiting."""
        try:
            self._guard(taken.check)  # of a hook that ran after the last measured pass
            self._recorder.misuse(self._usage.end() if self._running else None, self.schedule.step)
            self._hooks.follow(None)
            self._stepped_gradient.end()
            self._running = False
            self._disarm()
            self._guard(self._recorder.drain)
        finally:
            self._agreement.stop()

    @property
    def names(self) -> tuple[str, ...]:
        """Returns the names of the recorded vectors."""
        return self.current.names(update=self.update.chosen.measured)

    def skip(self) -> None:
        """Leaves the current step unmeasured."""
        self._disarm()
        self.current.reset()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Ignores forward passes and time inside. If the step's forward pass ran before, the step is not measured."""
        begun = time.perf_counter()
        again = self.armed and not self.arming.take_outputs()
        self._disarm()
        try:
            yield
        finally:
            if again:
                self._arm()
            self.schedule.clock.outside(time.perf_counter() - begun)

    @property
    def armed(self) -> bool:
        """Whether the current step is measured."""
        return self.arming.armed

    def plain(self, backward: Callable[[], None]) -> None:
        """Runs a backward pass that is not measured."""
        self._hooks.around(backward)
        self.passed()

    def passed(self) -> None:
        """Counts a backward pass that has run and was not measured."""
        self._usage.backward()
        self._end_without_optimizer()

    def measure(self, labelled: LabelledPass, backward: Callable[[], None]) -> None:
        """Runs ``backward`` exactly once and measures it.

        Args:
            labelled: Describes the pass.
            backward: The backward pass of the training loop.

        Raises:
            LabelsError: The labels or the outputs do not fit. The backward pass has not run then.
        """
        measured = partial(self._measuring.labelled, labelled, optimizer=self._optimizer, rounding=self.arming.rounding)
        self._hooks.around(lambda: self._run(partial(measured, checked=self._recorder.drain), backward))

    def measure_rest(self, losses: Sequence[Tensor], backward: Callable[[], None]) -> None:
        """Runs ``backward`` exactly once. It goes through no samples, so all of its gradient belongs to ``rest``."""
        sums = [loss.detach().sum() for loss in losses]
        self._hooks.around(lambda: self._run(partial(self._measuring.rest, sums), backward))

    def _run(self, measured: Callable[[RunOnce], None], backward: Callable[[], None]) -> None:
        if (why := self._agreement.why_left_out(self.current)) is not None:
            self.skip()
            self._recorder.warn("left-out", self.schedule.step, f"step {self.schedule.step} was not measured: {why}")
        if self._agreement.open:
            with self._agreement.around(backward) as guarded:
                self._run_open(measured, guarded)
        else:  # the other processes have stopped measuring this step
            backward()
        self._end_without_optimizer()

    def _run_open(self, measured: Callable[[RunOnce], None], backward: Callable[[], None]) -> None:
        begun = time.perf_counter()
        once = RunOnce(backward)
        try:
            unseen(measured, once)
            if self._optimizer is not None and self._running:
                if not self._hooks.stepped and not self.current.meter.passes.written:
                    self._stepped_gradient.left(self.current.meter, self._optimizer)
                self.current.switch.arm(again=True)  # another micro-batch may follow in this step
        except LabelsError:
            once.before()
            if not self._agreement.retries:
                self._disarm()
            raise
        except Exception as error:
            once.finish()
            if once.error is None:
                self._fault(error)
        except BaseException:  # an interrupt, which the script may catch to train on
            if not once.ran:
                once.before()
            self.skip()
            raise
        finally:
            taken.listening = False
        if once.error is not None:
            self.skip()  # the step is not complete, even if the script catches the error
            raise once.error  # not inside the ``except`` above: there it would get another __context__
        self._usage.backward()
        self.schedule.clock.own(time.perf_counter() - begun - once.seconds)

    def _end_without_optimizer(self) -> None:
        if self._optimizer is None:
            self._hooks.over()

    def _after_step(self) -> None:
        self._agreement.stepped(measured=self.arming.armed and self.current.meter.begun)
        self._usage.stepped = True
        if self.arming.armed:
            self._armed_step_over()
        else:
            self.schedule.end(measured=False)
        self._arm_if_due()

    def _armed_step_over(self) -> None:
        measured = self.current.meter.begun
        if measured:
            self._guard(self._commit)
        else:
            self._recorder.misuse(self._usage.idle(), self.schedule.step)
        self.schedule.end(measured=measured)
        if self.arming.armed:  # if the commit has failed, the step is disarmed already
            self._disarm()

    def _commit(self) -> None:
        begun = time.perf_counter()
        if not self._agreement.commits(self.current.meter):
            self.schedule.clock.own(time.perf_counter() - begun)
            self.update.forget()
            self.current.reset()
            return
        taken_off, stepped = self.update.taken(), self._stepped_gradient.settle()
        pending = self.current.meter.finish(taken_off)
        self.schedule.clock.own(time.perf_counter() - begun)
        self._recorder.check_layers(self.current.layout.layers, self.schedule.step)
        if pending is not None:
            names = self.names[: pending.plan.size]
            self._recorder.take(self.schedule.step, self.epoch, names, pending, self.schedule.clock.owned, stepped)
        self._agreement.committed()

    def _arm_if_due(self) -> None:
        if self._running and not self._faults.over and self._agreement.due():
            self._arm()

    def _arm(self) -> None:
        self.arming.set(True)
        self._guard(self.arming.arm)
        self._hooks.before(self.update.note if self.update.chosen.measured else None)

    def _disarm(self) -> None:
        self._agreement.decline()
        self.arming.set(False)
        self._stepped_gradient.forget()
        self._hooks.before(None)
        self.arming.disarm()

    def _engine_changed(self, engine: str, reason: str) -> None:
        self._recorder.engine_changed(engine, reason, self.schedule.step)

    def _guard(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            self._fault(error)

    def _fault(self, error: Exception) -> None:
        """Handles an error of gradlens: this step is not measured, and the training goes on."""
        step = self.schedule.step
        if isinstance(error, StepDropped) or not self._running:  # a signal handler may have ended the measuring
            self._agreement.dropped()
            self.skip()
            if self._running:
                self._recorder.event("left-out", step, message=f"step {step} was not measured: {error}")
                self._agreement.told()
            return
        with self._agreement.faulted(error, self._faults):
            self._faults.count(error)
            self.skip()
            self._faults.tell(error, self._recorder, step)
