"""Watching: how closely a training is watched."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Watching:
    """How closely a training is watched.

    Attributes:
        every: Measures every so many steps; None keeps within the budget.
        budget: Part of the training time that measuring may take.
        engine: See ``Lens``.
        layers: Records every layer.
        update: Records the optimizer's update.
        probe_every: Epochs between whole-data measurements class by class; None is five of them in each phase, 0 none.
    """

    every: int | None = None
    budget: float = 0.05
    engine: str = "auto"
    layers: bool = True
    update: bool = False
    probe_every: int | None = None
