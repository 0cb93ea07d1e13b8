"""StepState: what is known of the step that is being measured. Each step gets a new one, so that nothing is reset by hand."""

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
    """Where each vector stands among the recorded ones: those of the groups by component, then ``rest``, then ``update``.

    Attributes:
        components: Number of loss components, at least 1.
        groups: K.
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
        positions: Where its vectors stand.
        difference: Position of the vector that is the total less the others, once it is chosen.
        checked: Numbers of the parameters over which that vector is pulled back on its own, once they are chosen.
        thorough: Whether these are all, and the engine is compared, too.
        samples: The samples of the newest pass.
        evaluated: The result, if it could be had before the step ended.
        scale: The scale of the gradient scaler that the losses went through, or None.
        rounding: Largest relative rounding of what took part.
        restarts: How often all gradients of earlier passes were thrown away.
        rests: Passes that pass through no samples.
    """

    passes: StepPasses
    positions: Positions
    difference: int | None = None
    checked: Sequence[int] | None = None
    thorough: bool = False
    samples: Samples | None = None
    evaluated: PendingResult | None = None
    scale: Tensor | None = None
    rounding: float = 0.0
    restarts: int = 0
    rests: int = 0

    @property
    def sums(self) -> StepSums:
        """What the passes whose gradients are still there have given."""
        return self.passes.sums

    def without_passes(self) -> StepState:
        """Returns the state of the same step, whose passes so far do not count."""
        return StepState(self.passes, self.positions, restarts=self.restarts, rests=self.rests)

    def take(self, samples: Samples) -> bool:
        """Notes the samples of a pass; says whether they are those of the pass before, with another loss of theirs."""
        before, self.samples = self.samples, samples
        return before is not None and samples.same_as(before)
