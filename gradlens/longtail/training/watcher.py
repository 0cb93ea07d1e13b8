"""``Watcher``: the interface through which the training loop reports. ``Unwatched`` trains without measuring."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from gradlens.longtail.recipe.learner import Learner
from gradlens.longtail.recipe.phases import Step, TrainingPhase


class Watcher(Protocol):
    """Follows a training of several phases."""

    def start_phase(
        self, phase: TrainingPhase, learner: Learner, optimizer: torch.optim.Optimizer | None, step: int, done: int
    ) -> None:
        """Called after a phase was entered.

        Args:
            phase: The phase.
            learner: The network, with the classifier of this phase.
            optimizer: The optimizer of this phase; None if nothing is trained.
            step: Optimizer steps done before this phase (or before it was resumed).
            done: Epochs of the phase that are done; above 0 if the training was resumed in the middle of the phase.
        """

    def start_epoch(self, epoch: int) -> None:
        """Called before an epoch. Epochs are counted from 0 through all phases."""

    def backward(self, losses: dict[str, Tensor], step: Step) -> None:
        """Called instead of ``sum(losses).backward()``, and must do the same."""

    def combined(self, shares: Callable[[], dict[str, float]]) -> None:
        """Called after the groups' gradients were combined.

        Args:
            shares: Returns the share of each group in the combined direction.
        """

    def end_epoch(self, row: dict[str, Any], learner: Learner) -> None:
        """Called after an epoch with its row of the history; in a phase without epochs with the row of the phase."""

    def end_phase(self) -> None:
        """Called at the end of a phase, before the network changes for the next one."""

    def event(self, kind: str, **facts: Any) -> None:
        """Called with other events that should be recorded."""

    def close(self, status: str = "finished", reason: str | None = None) -> None:
        """Called when the training has ended: "finished", "failed" or "interrupted"."""


class Unwatched:
    """A tracker that measures nothing."""

    def start_phase(
        self, phase: TrainingPhase, learner: Learner, optimizer: torch.optim.Optimizer | None, step: int, done: int
    ) -> None:
        """Does nothing."""

    def start_epoch(self, epoch: int) -> None:
        """Does nothing."""

    def backward(self, losses: dict[str, Tensor], step: Step) -> None:  # noqa: ARG002
        """Runs the backward pass of the sum of the losses."""
        torch.autograd.backward(total(losses))

    def combined(self, shares: Callable[[], dict[str, float]]) -> None:
        """Does nothing."""

    def end_epoch(self, row: dict[str, Any], learner: Learner) -> None:
        """Does nothing."""

    def end_phase(self) -> None:
        """Does nothing."""

    def event(self, kind: str, **facts: Any) -> None:
        """Does nothing."""

    def close(self, status: str = "finished", reason: str | None = None) -> None:
        """Does nothing."""


def total(losses: dict[str, Tensor]) -> Tensor:
    """Returns the sum of the loss components."""
    first, *others = losses.values()
    for other in others:
        first = first + other
    return first
