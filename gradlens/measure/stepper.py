"""Stepper: decides which steps are measured, measures them, and keeps its own faults away from training."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gradlens.batch.anchors import AnchorWatch
from gradlens.batch.labelled import Labelled, rows_of
from gradlens.batch.rows import LabelsError, group_rows
from gradlens.groups import ClassGroups
from gradlens.guards.error_text import in_one_line
from gradlens.guards.run_once import Once
from gradlens.guards.script_hooks import taken
from gradlens.guards.training_state import WRITES_GRADIENTS, TrainingState
from gradlens.measure.engine_and_meter import Fitting
from gradlens.measure.meter import Taken
from gradlens.measure.misuse import Usage
from gradlens.measure.optimizer_hooks import StepHooks
from gradlens.measure.optimizer_update import OptimizerUpdate
from gradlens.measure.preflight.capture import check_capture
from gradlens.measure.preflight.preflight import Preflight
from gradlens.measure.preflight.refusal import Refusal
from gradlens.measure.processes import Processes
from gradlens.measure.recorder import Recorder
from gradlens.measure.schedule.cadence import Cadence
from gradlens.measure.schedule.checks import is_checked
from gradlens.measure.schedule.schedule import MeasurementSchedule
from gradlens.measure.stepped_gradient import SteppedGradient

# After so many internal errors measuring stops for good.
FAULTS = 3


class Stepper:
    """One training step after another: armed or not, measured or not.

    Attributes:
        fitting: The engine and the meter in use.
        schedule: Where the training is, and which of its steps are measured.
        on_armed: Called whenever ``armed`` has been set.
        epoch: Epoch that the log gives to what follows.
    """

    def __init__(
        self,
        processes: Processes,
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
            processes: Those that train.
            model: The model.
            groups: K groups.
            cadence: Which steps are measured.
            engine: One of ``gradlens.choices.ENGINES``.
            optimizer: Its ``step`` ends a training step; None = every backward pass is a step.
            update: Whether to measure what the optimizer takes off the parameters.
            strict: Whether internal errors are raised.

        Raises:
            ValueError: No parameter wants a gradient.
        """
        self._groups, self._optimizer = groups, optimizer
        self._strict, self._wanted = strict, update
        self._update = OptimizerUpdate() if update and optimizer is not None else None
        self.schedule = MeasurementSchedule(cadence)
        self.on_armed: Callable[[], None] = lambda: None
        self._armed = False
        self.epoch: int | None = None
        self._recorder = Recorder(None, layers=False)
        self.fitting = Fitting(model, groups, engine, self._engine_changed, processes)
        self._watch = AnchorWatch(model, self._fault)
        # The optimizer's hooks run in the middle of the training's own step.
        before = None if self._update is None else partial(self._guard, self._before_step)
        self._hooks = StepHooks(before, self.schedule.rested, self._after_step, self._fault)
        self._stepped_gradient = SteppedGradient(self._fault)
        self._engine = engine
        self._usage = Usage()
        self._preflight = Preflight()
        self._running = False
        self._logged_layers = self.fitting.layout.layers
        self._measurements = self._faults = 0

    def start(self, recorder: Recorder, step: int) -> None:
        """Begins with step number ``step``, whose results go to ``recorder``."""
        # Imported by torch.autograd.grad at its first call: 1.5 s that would count as measuring for a long time.
        importlib.import_module("torch.fx.experimental.symbolic_shapes")
        self._recorder = recorder
        self._recorder.on_disagreement = lambda reason: self.fitting.switch.replace(reason)
        self.schedule.step = step
        self._running = True
        if self._wanted and self._update is None:
            message = "update=True needs the optimizer (Lens(..., optimizer=optimizer)); the update is not measured"
            self._recorder.warn("no-update", step, message)
        switch = self.fitting.switch
        if self._engine not in ("auto", switch.engine.name):  # refused before there was a log
            self._engine_changed(switch.engine.name, switch.reason)
        self._hooks.follow(self._optimizer)
        self._arm_if_due()

    def follow(self, optimizer: torch.optim.Optimizer, *, stepped: bool = False) -> None:
        """Takes the steps of another optimizer as training steps.

        Args:
            optimizer: It.
            stepped: Whether it has just taken the current one, which else is not measured (nor is its update).
        """
        self._optimizer = optimizer
        self._hooks.follow(optimizer)
        if not stepped or self._update is not None:
            self.skip()
        if stepped:
            self._hooks.over()
        else:
            self._arm_if_due()

    def stop(self) -> None:
        """Removes every hook and delivers what is waiting."""
        self._say_misuse(self._usage.end() if self._running else None)
        self._hooks.follow(None)
        self._stepped_gradient.end()
        self._running = False
        self._disarm()
        self._guard(self._recorder.drain)

    @property
    def names(self) -> tuple[str, ...]:
        """Returns the names of the recorded vectors."""
        return self.fitting.names(update=self._update is not None)

    def skip(self) -> None:
        """Leaves the current step unmeasured."""
        self._disarm()
        self.fitting.reset()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Overlooks forward passes and time inside; a step whose own forward pass came before is not measured."""
        begun = time.perf_counter()
        again = self.armed and not self.take_outputs()
        self._disarm()
        try:
            yield
        finally:
            if again:
                self.armed = True
                self._guard(self._arm)
            self.schedule.clock.outside(time.perf_counter() - begun)

    @property
    def armed(self) -> bool:
        """Whether the current step is measured."""
        return self._armed

    @armed.setter
    def armed(self, armed: bool) -> None:
        self._armed = armed
        self.on_armed()

    @property
    def writes(self) -> bool:
        """Whether this process writes the log."""
        return True

    def take_outputs(self) -> list[Any]:
        """Returns what the model returned since the last backward pass of a measured step."""
        return self._watch.take()

    def plain(self, backward: Callable[[], None]) -> None:
        """Runs a backward pass that is not measured."""
        self._hooks.around(backward)
        self.passed()

    def passed(self) -> None:
        """Takes note of a backward pass that is not measured and has run."""
        self._usage.backward()
        self._end_without_optimizer()

    def measure(
        self,
        components: tuple[str, ...],
        losses: Sequence[Tensor],
        anchors: Sequence[Tensor],
        labels: Tensor,
        backward: Callable[[], None],
        ignore_index: int,
        *,
        logits: Tensor | None = None,
        class_dim: int | None = None,
        taken: Taken | None = None,
        labelled: Sequence[Labelled] = (),
        retains: bool = False,
    ) -> None:
        """Runs ``backward`` exactly once and measures it.

        Args:
            components: Names of the losses, or () for a single one.
            losses: Loss components.
            anchors: The tensors whose rows are samples.
            labels: Their labels.
            backward: The backward pass of the training loop.
            ignore_index: The label that belongs to no sample.
            logits: What loss and hits are counted from, where it is not an anchor of C columns.
            class_dim: Where the anchors have their classes, if that is known.
            taken: The gradients that ``backward`` has returned, where it leaves none in ``.grad``.
            labelled: The anchors again, where they have labels of their own.
            retains: Whether ``backward`` keeps the graph for a pass over another loss.

        Raises:
            LabelsError: Wrong use; the backward pass has not run then.
        """

        def measured(once: Once) -> None:
            if not anchors:
                raise LabelsError("no anchors given; name at least one tensor whose rows are the samples")
            if labelled:
                rows = rows_of(labelled, self._groups)
            else:
                rows = group_rows(labels, self._groups, anchors[0], ignore_index, class_dim=class_dim)
            once.before = self._preflight.check(self.fitting.model, self._optimizer, losses, once.before)
            self._recorder.drain()  # the labels' way to the host has waited for the device
            meter = self.fitting.meter_for(components)
            first = not meter.begun
            check = first and is_checked(self._measurements, always_exact=self.fitting.switch.always_exact)
            if check:
                self._preflight.repeat(losses, anchors, meter.params)
            meter.measure(
                losses, anchors, labels, rows, once,
                check=check, rounding=self._watch.rounding, logits=logits, taken=taken, retains=retains,
            )  # fmt: skip
            self._measurements += first

        self._hooks.around(lambda: self._run(measured, backward))

    def measure_rest(self, losses: Sequence[Tensor], backward: Callable[[], None]) -> None:
        """Runs ``backward`` exactly once and counts all of its gradient as ``rest``.

        Args:
            losses: Loss components.
            backward: A backward pass of the training loop that passes through no samples.
        """
        sums = [loss.detach().sum() for loss in losses]

        def measured(once: Once) -> None:
            self.fitting.meter_for(self.fitting.components).measure_rest(sums, once)

        self._hooks.around(lambda: self._run(measured, backward))

    def _run(self, measured: Callable[[Once], None], backward: Callable[[], None]) -> None:
        begun = time.perf_counter()
        once = Once(backward)
        try:
            check_capture()
            state = TrainingState(self.fitting.model, self.fitting.meter.params)
            once.before = state.restore
            measured(once)
            if state.gradients_written:
                raise RuntimeError(WRITES_GRADIENTS)
            self.fitting.meter.hold(keep=self._update is not None)
            if self._optimizer is not None:
                if not self._hooks.stepped and not self.fitting.meter.passes.written:
                    self._stepped_gradient.left(self.fitting.meter, self._optimizer)
                self.fitting.switch.arm()  # another micro-batch may follow in this step
        except LabelsError:
            once.before()
            raise
        except Exception as error:
            if once.error is None:
                if not once.ran:
                    once()
                self._fault(error)
        taken.listening = False
        if once.error is not None:
            self.skip()  # what is there of this step is a part, whatever the script makes of the error
            raise once.error  # not above: there it would get other causes
        self._usage.backward()
        self.schedule.clock.own(time.perf_counter() - begun - once.seconds)
        self._end_without_optimizer()

    def _end_without_optimizer(self) -> None:
        if self._optimizer is None:
            self._hooks.over()

    def _before_step(self) -> None:
        if self.armed and (update := self._update) is not None:
            begun = time.perf_counter()
            update.note(self.fitting.meter.params)
            self.schedule.clock.own(time.perf_counter() - begun)

    def _after_step(self) -> None:
        self._usage.stepped = True
        if self._armed:
            self._armed_step_over()
        else:
            self.schedule.end(measured=False)
        self._arm_if_due()

    def _armed_step_over(self) -> None:
        measured = self.fitting.meter.begun
        if measured:
            self._guard(self._commit)
        else:
            self._say_misuse(self._usage.idle())
        self.schedule.end(measured=measured)
        if self._armed:  # not where committing failed
            self._disarm()

    def _commit(self) -> None:
        begun = time.perf_counter()
        taken_off = None if self._update is None else self._update.taken(self.fitting.meter.params)
        stepped = self._stepped_gradient.settle()
        pending = self.fitting.meter.finish(taken_off)
        self.schedule.clock.own(time.perf_counter() - begun)
        if self._recorder.layers and self.fitting.layout.layers != self._logged_layers:
            # The log's columns have names, which must not come to mean other layers.
            self._recorder.layers = False
            message = "the model has other layers than at the start; from here on only its whole is logged"
            self._recorder.warn("layers", self.schedule.step, message)
        if pending is not None:
            names = self.names[: pending.plan.size]
            self._recorder.take(self.schedule.step, self.epoch, names, pending, self.schedule.clock.owned, stepped)

    def _arm_if_due(self) -> None:
        if not self._running or self._faults >= FAULTS:
            return
        if not self.schedule.due():
            self.schedule.rest()
            return
        self.armed = True
        self._guard(self._arm)

    def _arm(self) -> None:
        self._watch.arm()
        self.fitting.arm()

    def _disarm(self) -> None:
        self.armed = False
        self._stepped_gradient.forget()
        self._watch.disarm()
        self.fitting.switch.engine.disarm()

    def _engine_changed(self, engine: str, reason: str) -> None:
        self._recorder.engine_changed(engine, reason, self.schedule.step)

    def _say_misuse(self, message: str | None) -> None:
        if message is not None:
            self._recorder.warn("misuse", self.schedule.step, message)

    def _guard(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            self._fault(error)

    def _fault(self, error: Exception) -> None:
        """Takes an error of ours: this step is not measured, training goes on."""
        self._faults += FAULTS if isinstance(error, Refusal) else 1
        self._disarm()
        self.fitting.reset()
        if self._strict:
            raise error
        if isinstance(error, Refusal):
            self._recorder.warn("refused", self.schedule.step, error.line)
            return
        over = "; measuring stops here" if self._faults >= FAULTS else ""
        self._recorder.warn(
            "internal-error",
            self.schedule.step,
            f"step {self.schedule.step} could not be measured ({in_one_line(error)}); training is untouched{over}",
        )
