"""The optimization of a phase: SGD with momentum, learning rates for parts of the network, and schedules."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import nn

from gradlens.longtail.errors import LongTailError


class Schedule(Protocol):
    """A learning-rate schedule. It depends on the epoch only, so resuming needs nothing else."""

    def factor(self, epoch: int, epochs: int) -> float:
        """Returns the factor of the learning rate in ``epoch`` (counted from 0) of ``epochs``."""


@dataclass(frozen=True)
class Steps:
    """A schedule that multiplies the learning rate by ``by`` at given fractions of the epochs.

    Attributes:
        at: Fractions of the epochs, e.g. (0.8, 0.9) for the epochs 160 and 180 of 200.
        by: Factor of each step.
        warm_up: Epochs of linear warm-up. In epoch t of these the factor is (t + 1) / warm_up.
    """

    at: tuple[float, ...] = (0.8, 0.9)
    by: float = 0.01
    warm_up: int = 0

    def factor(self, epoch: int, epochs: int) -> float:
        """See ``Schedule.factor``."""
        if epoch < self.warm_up:
            return (epoch + 1) / self.warm_up
        return float(self.by ** sum(epoch >= round(fraction * epochs) for fraction in self.at))


@dataclass(frozen=True)
class CosineDecay:
    """A schedule that follows half a cosine from 1 to 0 over the epochs.

    Attributes:
        warm_up: Epochs of linear warm-up. In epoch t of these the factor is (t + 1) / warm_up.
    """

    warm_up: int = 0

    def factor(self, epoch: int, epochs: int) -> float:
        """See ``Schedule.factor``."""
        if epoch < self.warm_up:
            return (epoch + 1) / self.warm_up
        return (1 + math.cos(math.pi * epoch / epochs)) / 2


@dataclass(frozen=True)
class Sgd:
    """The settings of SGD.

    Attributes:
        learning_rate: Learning rate of the parameters that ``parts`` does not name.
        momentum: Momentum, without Nesterov.
        weight_decay: Weight decay of all parameters.
        parts: Prefix of parameter names -> their learning rate, e.g. {"classifier": 0.05}. The first matching prefix is used.
    """

    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    parts: Mapping[str, float] = field(default_factory=dict)

    def optimizer(self, model: nn.Module) -> torch.optim.SGD:
        """Returns an optimizer of the trainable parameters.

        Raises:
            LongTailError: The model has no trainable parameter.
        """
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                rate = next((r for part, r in self.parts.items() if name.startswith(part)), self.learning_rate)
                groups.setdefault(rate, []).append(parameter)
        if not groups:
            raise LongTailError("no parameter is to be trained in this phase; set its `trainable` prefixes")
        return torch.optim.SGD(
            [{"params": parameters, "lr": rate, "full_rate": rate} for rate, parameters in groups.items()],
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Sets each learning rate to ``factor`` times its full value."""
    for group in optimizer.param_groups:
        group["lr"] = factor * group["full_rate"]
