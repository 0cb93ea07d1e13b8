"""Watcher: what the training loop tells whoever watches it, and the one that does not watch."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from gradlens.longtail.recipe.learner import Learner
from gradlens.longtail.recipe.phases import Step, TrainingPhase


class Watcher(Protocol):
    """Watches a training of several phases."""

    def start_phase(
        self, phase: TrainingPhase, learner: Learner, optimizer: torch.optim.Optimizer | None, step: int, done: int
    ) -> None:
        """Called when a phase has been entered.

        Args:
            phase: The phase.
            learner: The network, with the classifier of this phase.
            optimizer: The optimizer of this phase; None where nothing is trained.
            step: Optimizer steps done before.
            done: Epochs of the phase that are done; more than 0 where the training is resumed in the middle of it.
        """

    def start_epoch(self, epoch: int) -> None:
        """Called before an epoch; they are counted from 0 through all phases."""

    def backward(self, losses: dict[str, Tensor], step: Step) -> None:
        """Takes the place of ``sum(losses).backward()``."""

    def end_epoch(self, row: dict[str, Any], learner: Learner) -> None:
        """Called with the epoch's row of the history, or with that of a phase without epochs."""

    def end_phase(self) -> None:
        """Called when a phase is over, before the network changes for the next one."""

    def event(self, kind: str, **facts: Any) -> None:
        """Called with whatever else should be on record."""

    def close(self, status: str = "finished", reason: str | None = None) -> None:
        """Called when the training is over: "finished", "failed" or "interrupted"."""


class Unwatched:
    """Trains without watching."""

    def start_phase(
        self, phase: TrainingPhase, learner: Learner, optimizer: torch.optim.Optimizer | None, step: int, done: int
    ) -> None:
        """Does nothing."""

    def start_epoch(self, epoch: int) -> None:
        """Does nothing."""

    def backward(self, losses: dict[str, Tensor], step: Step) -> None:  # noqa: ARG002
        """Adds the losses up and pulls them back."""
        torch.autograd.backward(total(losses))

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
