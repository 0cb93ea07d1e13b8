"""``Watching``: how often and how closely a training is measured."""

from __future__ import annotations

from dataclasses import dataclass

from gradlens.choices import DEFAULT_BUDGET

PROBES_PER_PHASE = 5
RARE = 10


@dataclass(frozen=True)
class Watching:
    """How often and how closely a training is measured.

    Attributes:
        every: Measure every N steps; None = as often as the budget allows.
        per_phase: Measure about this many steps of each phase, evenly spread. It replaces ``every``; None = not used.
        budget: Fraction of the training time that measuring may take.
        engine: See ``Lens``.
        layers: True to record every layer.
        update: True to record the optimizer's update.
        probe_every: Epochs between probes: measurements of each class on the whole data. There is also one at the end of each
            phase. None = few probes, 0 = no probes.
    """

    every: int | None = None
    budget: float = DEFAULT_BUDGET
    engine: str = "auto"
    layers: bool = True
    update: bool = False
    probe_every: int | None = None
    per_phase: int | None = None

    def every_in(self, steps: int) -> int | None:
        """Returns the interval N in a phase of ``steps`` steps: every N-th step is measured; None = the budget decides."""
        return self.every if self.per_phase is None else max(1, steps // self.per_phase)

    def probe_is_due(self, done: int, epochs: int) -> bool:
        """Says whether a probe (each class on the whole data) is due after an epoch.

        A probe costs about as much as an epoch of training. By default there are about five in a phase, at most one in ten
        epochs, and one at its end.

        Args:
            done: Epochs of the phase that are done.
            epochs: Epochs of the phase.
        """
        every = max(RARE, epochs // PROBES_PER_PHASE) if self.probe_every is None else self.probe_every
        return every > 0 and (done == epochs or done % every == 0)
