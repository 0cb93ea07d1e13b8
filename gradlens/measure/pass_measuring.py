"""PassMeasuring: checks and measures one backward pass, and leaves the training's state as it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor
from torch.optim import Optimizer

from gradlens.groups import ClassGroups
from gradlens.guards.own_pass import aloud
from gradlens.guards.run_once import RunOnce
from gradlens.guards.training_state import WRITES_GRADIENTS, TrainingState
from gradlens.measure.engine_and_meter import EngineAndMeter
from gradlens.measure.labelled_pass import LabelledPass
from gradlens.measure.preflight.capture import check_capture
from gradlens.measure.preflight.preflight import Preflight
from gradlens.measure.processes import TrainingProcesses
from gradlens.measure.schedule.checks import is_checked


class PassMeasuring:
    """Measures the backward passes of steps that are armed.

    Attributes:
        steps: Number of steps in which this process has measured a pass with labels.
    """

    def __init__(
        self, current: EngineAndMeter, groups: ClassGroups, processes: TrainingProcesses, *, keep: bool
    ) -> None:
        """Keeps its arguments.

        Args:
            current: The engine and the meter in use.
            groups: K groups.
            processes: The processes that train.
            keep: Whether the vectors are needed until the optimizer has stepped.
        """
        self._current, self._groups, self._processes, self._keep = current, groups, processes, keep
        self._preflight = Preflight()
        self.steps = 0

    def labelled(
        self,
        labelled: LabelledPass,
        once: RunOnce,
        *,
        optimizer: Optimizer | None,
        rounding: float,
        checked: Callable[[], None],
    ) -> None:
        """Measures a pass that goes through samples.

        Args:
            labelled: Describes the pass.
            once: Runs the pass.
            optimizer: Its ``step`` ends the training step; None if every backward pass does.
            rounding: Relative rounding of the forward pass.
            checked: Is called after the labels were read. Their copy to the host has waited for the device, so results of
                earlier steps can be read now without another wait.

        Raises:
            LabelsError: The labels or the outputs do not fit. The backward pass has not run then.
            Refusal: The pass cannot be measured without a change to the training. The backward pass has not run then.
            RuntimeError: A function of the model has added to ``.grad`` while gradlens measured.
        """
        state = self._begin(once)
        rows = labelled.rows(self._groups)
        losses, anchors = labelled.losses, labelled.anchors
        once.before = self._preflight.check(self._current.model, optimizer, losses, once.before)
        aloud(checked)
        meter = self._current.meter_for(labelled.components)
        first = not meter.begun
        steps = self._processes.measured_steps(self.steps)
        check = first and is_checked(steps, always_exact=self._current.switch.always_exact)
        if check:
            self._preflight.repeat(losses, anchors, meter.params)
        meter.measure(
            losses, anchors, labelled.labels, rows, once, check=check, rounding=max(rounding, self._preflight.rounding),
            logits=labelled.scored, taken=labelled.taken, retains=labelled.retains,
        )  # fmt: skip
        self.steps += first
        self._end(state)

    def rest(self, losses: Sequence[Tensor], once: RunOnce) -> None:
        """Measures a pass that goes through no samples.

        Args:
            losses: The loss components.
            once: Runs the pass.
        """
        state = self._begin(once)
        self._current.meter_for(self._current.components).measure_rest(losses, once)
        self._end(state)

    def _begin(self, once: RunOnce) -> TrainingState:
        check_capture()
        state = TrainingState(self._current.model, self._current.meter.params)
        once.before = state.restore
        return state

    def _end(self, state: TrainingState) -> None:
        if state.gradients_written:
            raise RuntimeError(WRITES_GRADIENTS)
        self._current.meter.hold(keep=self._keep)
