"""StepState: all that is known of the step that is being measured. Each step gets a new one, so nothing is reset by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from gradlens.batch.same_samples import Samples
from gradlens.measure.pending_result import PendingResult
from gradlens.measure.step_passes import StepPasses
from gradlens.measure.step_sums import StepSums


@dataclass(frozen=True)
class Positions:
    """The order of the recorded vectors: the groups' vectors of each component, then ``rest``, then ``update``.

    Attributes:
        components: Number of loss components, at least 1.
        groups: K, the number of groups.
    """

    components: int
    groups: int

    def of(self, component: int, group: int) -> int:
        """Returns the position of a group's vector."""
        return component * self.groups + group

    @property
    def rest(self) -> int:
        """The position of ``rest``."""
        return self.components * self.groups

    @property
    def update(self) -> int:
        """The position of ``update``."""
        return self.rest + 1


@dataclass
class StepState:
    """One step.

    Attributes:
        passes: Its backward passes so far.
        positions: The positions of its vectors.
        difference: Position of the vector that is the total minus the others; None before it is chosen.
        checked: Indices of the parameters over which that vector is also pulled back by itself; None before they are chosen.
        near: Indices of the parameters of the layer next to the first anchor: those that are checked in most steps.
        thorough: Whether this is a checking step: ``checked`` holds all parameters, and the engine is compared, too.
        samples: The samples of the newest pass.
        evaluated: The result, if it was computed before the step ended.
        scale: The gradient scaler's scale, by which the losses were multiplied; None without a scaler.
        rounding: The largest relative rounding of all dtypes that took part.
        restarts: How often the gradients of all earlier passes were zeroed.
        rests: Number of passes that go through no samples.
    """

    passes: StepPasses
    positions: Positions
    difference: int | None = None
    checked: Sequence[int] | None = None
    near: Sequence[int] = ()
    thorough: bool = False
    samples: Samples | None = None
    evaluated: PendingResult | None = None
    scale: Tensor | None = None
    rounding: float = 0.0
    restarts: int = 0
    rests: int = 0

    @property
    def sums(self) -> StepSums:
        """The sums of the passes whose gradients still lie in ``.grad``."""
        return self.passes.sums

    def without_passes(self) -> StepState:
        """Returns the state of the same step, as if its passes so far had not been measured."""
        return StepState(self.passes, self.positions, restarts=self.restarts, rests=self.rests)

    def take(self, samples: Samples) -> bool:
        """Keeps the samples of a pass. Says whether they are those of the pass before: then it is another loss over them."""
        before, self.samples = self.samples, samples
        return before is not None and samples.same_as(before)
