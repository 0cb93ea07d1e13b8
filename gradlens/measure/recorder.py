"""Recorder: writes the results of measured steps into the log, and warns if something about them is wrong."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from gradlens.autograd.float_range import stored
from gradlens.groups import ClassGroups
from gradlens.guards.own_pass import aloud
from gradlens.guards.script_hooks import taken
from gradlens.guards.warning import GradlensWarning
from gradlens.measure.pending_result import PendingResult
from gradlens.measure.preflight.refusal import Refusal
from gradlens.metrics.measurement import Measurement

if TYPE_CHECKING:
    from gradlens.runlog import RunWriter

# If the residual is larger, the contributions do not add up to the gradient, and the numbers cannot be trusted.
RESIDUAL_LIMIT = 1e-3
# If the disagreement is larger, the engine's vectors differ from those of the masked engine, which is exact for every model.
DISAGREEMENT_LIMIT = 1e-4
# In reduced precision both limits are at least this many roundings.
ROUNDINGS = 4.0

# If the optimizer's gradient differs from the measured one by more, in direction or scale, this is told. The rounding of
# 16-bit gradients is smaller.
STEPPED_LIMIT = 0.02
# How the warning about it begins. A training that combines gradients by design need not be warned.
STEPPED = "what the optimizer steps on is not what was measured"


@dataclass(frozen=True)
class _Waiting:
    step: int
    time: float
    epoch: int | None
    names: tuple[str, ...]
    pending: PendingResult
    seconds: float
    stepped: Tensor | None


class Recorder:
    """Takes results, waits until the device has delivered their numbers, and logs them.

    Attributes:
        announce: Is given each warning to the user.
        last: The newest delivered measurement, or None.
        writer: Writes the log; None without a log.
        layers: Names of the layers whose inner products are logged one by one; () = only those of the whole model.
        on_disagreement: Is called with the reason when an engine has measured wrong vectors.
    """

    def __init__(
        self, writer: RunWriter | None, layers: tuple[str, ...], announce: Callable[[str], None] | None = None
    ) -> None:
        """Keeps its arguments.

        Args:
            writer: Writes measurements and events; None without a log.
            layers: Names of the layers that have columns in the log.
            announce: Is given the first warning of each kind; by default it becomes a GradlensWarning.
        """
        self.announce = announce or _warn
        self.last: Measurement | None = None
        self.writer = writer
        self.layers = layers
        self.on_disagreement: Callable[[str], None] = lambda _: None
        self._waiting: list[_Waiting] = []
        self._said: set[str] = set()
        self._finite = True

    def misuse(self, message: str | None, step: int) -> None:
        """Warns that the lens is used in a wrong way; None: there is nothing to say."""
        if message is not None:
            self.warn("misuse", step, message)

    def check_layers(self, layers: tuple[str, ...], step: int) -> None:
        """Stops logging single layers if the model's layers have changed: a column of the log must keep its meaning.

        Args:
            layers: Names of the model's layers now.
            step: The current step.
        """
        if self.layers and layers != self.layers:
            self.layers = ()
            message = "the model's layers have changed; from here on only the numbers of the whole model are logged"
            self.warn("layers", step, message)

    def take(
        self,
        step: int,
        epoch: int | None,
        names: tuple[str, ...],
        pending: PendingResult,
        seconds: float,
        stepped: Tensor | None = None,
    ) -> None:
        """Takes the result of a step. On a CPU it is logged at once.

        Args:
            step: The step.
            epoch: Its epoch, or None.
            names: Names of the V recorded vectors.
            pending: The result.
            seconds: Time that gradlens' own code took in the step, in seconds.
            stepped: What ``SteppedGradient.settle`` returned for the step.
        """
        self._waiting.append(_Waiting(step, time.time(), epoch, names, pending, seconds, stepped))
        if not pending.packed.is_pinned():
            self.drain()

    def drain(self) -> None:
        """Logs all waiting results. It is best called after something has waited for the device: then it need not wait."""
        waiting, self._waiting = self._waiting, []
        for item in waiting:
            self._log(item)

    def event(self, kind: str, step: int | None, **facts: Any) -> None:
        """Logs an event."""
        if self.writer is not None:
            self.writer.event(kind, step, **facts)

    def probed(self, found: Measurement, groups: ClassGroups, label: str | None) -> None:
        """Logs a probe."""
        if self.writer is not None:
            kept = found.layers if self.layers else None
            self.writer.probe(
                found.step, found.epoch, found.names, found.gram, kept, found.counts, found.loss, found.correct,
                found.seconds, groups.to_json(), label,
            )  # fmt: skip

    def engine_changed(self, engine: str, reason: str, step: int) -> None:
        """Logs that another engine measures from now on."""
        self.event("engine", step, engine=engine, reason=reason)
        if self.writer is not None:
            self.writer.update_meta(engine=engine, engine_reason=reason)

    def warn(self, kind: str, step: int | None, message: str) -> None:
        """Logs an event. Warns the user if it is the first of its kind."""
        self.event(kind, step, message=message)
        if kind not in self._said:
            self._said.add(kind)
            aloud(self.announce, message)

    def _log(self, item: _Waiting) -> None:
        result = item.pending.result()
        gram = result.layers.sum(0)
        m = Measurement(
            step=item.step,
            time=item.time,
            epoch=item.epoch,
            names=item.names,
            gram=gram,
            layers=stored(result.layers) if self.layers else None,
            counts=result.counts,
            loss=result.loss,
            correct=result.correct,
            residual=result.residual,
            total_loss=result.total_loss,
            seconds=item.seconds,
            exponent=result.exponent,
        )
        least = ROUNDINGS * item.pending.plan.rounding
        if result.residual > max(RESIDUAL_LIMIT, least) and taken.changing:
            raise Refusal(
                f"the hook {', '.join(taken.changing)} changes gradients inside the graph, so the groups' gradients, which are "
                f"pulled back without it, miss .grad by {result.residual:.1e} of its size"
            )
        self.last = m
        if self.writer is not None:
            self.writer.append(m)
        self._note_finite(m, scaled=item.pending.plan.scaled)
        if item.stepped is not None:
            self._note_stepped(item.step, *item.stepped.tolist())
        if result.disagreement > max(DISAGREEMENT_LIMIT, least):
            self.on_disagreement(f"differs by {result.disagreement:.1e} from the masked engine at step {item.step}")
        if result.residual > max(RESIDUAL_LIMIT, least):
            self.warn(
                "residual",
                item.step,
                f"the groups' gradients miss the gradient by {result.residual:.1e} of its size at step {item.step}: another "
                "backward pass adds to .grad, or a backward function is not linear in the gradient that it is given (float8, "
                "gradients clipped on the way); see Run.residual",
            )

    def _note_stepped(self, step: int, scale: float, rest: float) -> None:
        if rest > STEPPED_LIMIT:
            self.warn(
                "stepped",
                step,
                f"{STEPPED} (step {step}: {min(rest, 1):.0%} of it has another "
                "direction): .grad was projected, masked, clipped by value or replaced after the backward pass; gradlens "
                "measures the gradient before that",
            )
        elif abs(scale - 1) > STEPPED_LIMIT:  # a number that is none compares false
            self.event("stepped scale", step, scale=scale)

    def _note_finite(self, m: Measurement, *, scaled: bool) -> None:
        broken = m.nonfinite()
        finite = not broken and bool(np.isfinite(m.total_loss))
        if not finite and self._finite:
            loss = "" if np.isfinite(m.total_loss) else f"the loss is {m.total_loss}"
            texts = [*([loss] if loss else []), *(["the gradient is not finite"] if broken else [])]
            # A gradient scaler tries scales that are too large; then a gradient that is not finite is no fault of the training.
            facts = {"scaled": True} if scaled else {}
            self.event("nonfinite", m.step, message=", ".join(texts), **facts)
        self._finite = finite


def _warn(message: str) -> None:
    warnings.warn(f"gradlens: {message}", GradlensWarning, stacklevel=3)
