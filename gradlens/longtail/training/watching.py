"""Watching: how closely a training is watched."""

from __future__ import annotations

from dataclasses import dataclass

from gradlens.choices import DEFAULT_BUDGET

PROBES_PER_PHASE = 5
RARE = 10


@dataclass(frozen=True)
class Watching:
    """How closely a training is watched.

    Attributes:
        every: Measures every so many steps; None keeps within the budget.
        per_phase: Measures about so many steps in each phase, evenly spread, instead; None does not.
        budget: Part of the training time that measuring may take.
        engine: See ``Lens``.
        layers: Records every layer.
        update: Records the optimizer's update.
        probe_every: Epochs between whole-data measurements class by class, which come at the end of each phase, too; None
            keeps them rare, 0 makes none.
    """

    every: int | None = None
    budget: float = DEFAULT_BUDGET
    engine: str = "auto"
    layers: bool = True
    update: bool = False
    probe_every: int | None = None
    per_phase: int | None = None

    def every_in(self, steps: int) -> int | None:
        """Returns every how many steps of a phase of ``steps`` is measured; None keeps within the budget."""
        return self.every if self.per_phase is None else max(1, steps // self.per_phase)

    def probe_is_due(self, done: int, epochs: int) -> bool:
        """Says whether the classes are measured one by one, on the whole data, now.

        That costs about as much as an epoch of training. Where nothing is said of it, it happens at most five times in a
        phase and, but for its end, at most in every tenth epoch.

        Args:
            done: Epochs of the phase that are done.
            epochs: Epochs of the phase.
        """
        every = max(RARE, epochs // PROBES_PER_PHASE) if self.probe_every is None else self.probe_every
        return every > 0 and (done == epochs or done % every == 0)
