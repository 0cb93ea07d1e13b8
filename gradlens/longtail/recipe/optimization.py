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
class CosineAfterWarmUp:
    """A schedule that rises in a line over the warm-up, and then follows half a cosine from 1 to 0 over the epochs left.

    Attributes:
        warm_up: E, the epochs of the warm-up. In epoch t of these the factor is first (1 - t / E) + t / E.
        first: Factor of the first epoch of the warm-up.
    """

    warm_up: int
    first: float

    def factor(self, epoch: int, epochs: int) -> float:
        """See ``Schedule.factor``."""
        if epoch < self.warm_up:
            done = epoch / self.warm_up
            return self.first * (1 - done) + done
        return (1 + math.cos(math.pi * (epoch - self.warm_up) / (epochs - self.warm_up))) / 2


@dataclass(frozen=True)
class Sgd:
    """The settings of SGD.

    In ``parts`` and ``decays`` the first prefix that a parameter's name starts with is used.

    Attributes:
        learning_rate: Learning rate of the parameters that ``parts`` does not name.
        momentum: Momentum.
        weight_decay: Weight decay of the parameters that ``decays`` does not name.
        parts: Prefix of parameter names -> their learning rate, e.g. {"classifier": 0.05}.
        nesterov: True for Nesterov's form of the momentum.
        decays: Prefix of parameter names -> their weight decay, e.g. {"classifier.bias": 0.0}.
    """

    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    parts: Mapping[str, float] = field(default_factory=dict)
    nesterov: bool = False
    decays: Mapping[str, float] = field(default_factory=dict)

    def identity(self) -> str:
        """Returns a text that differs for other settings. It is as it was before there were ``nesterov`` and ``decays``.

        A checkpoint holds it, so a new field may only show where it differs from its default.
        """
        first = (f"{name}={getattr(self, name)!r}" for name in ("learning_rate", "momentum", "weight_decay", "parts"))
        later = (f"{name}={value!r}" for name in ("nesterov", "decays") if (value := getattr(self, name)))
        return f"Sgd({', '.join([*first, *later])})"

    def optimizer(self, model: nn.Module) -> torch.optim.SGD:
        """Returns an optimizer of the trainable parameters.

        Raises:
            LongTailError: The model has no trainable parameter, or none with a prefix of ``parts`` or ``decays``.
        """
        named = dict(model.named_parameters())
        for prefix in (*self.parts, *self.decays):
            if not any(name.startswith(prefix) for name in named):
                raise LongTailError(f"no parameter's name starts with {prefix!r}; there are {', '.join(named)}")
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in named.items():
            if parameter.requires_grad:
                rate = _of_part(name, self.parts, self.learning_rate)
                groups.setdefault((rate, _of_part(name, self.decays, self.weight_decay)), []).append(parameter)
        if not groups:
            raise LongTailError("no parameter is to be trained in this phase; set its `trainable` prefixes")
        return torch.optim.SGD(
            [
                {"params": parameters, "lr": rate, "full_rate": rate, "weight_decay": decay}
                for (rate, decay), parameters in groups.items()
            ],
            momentum=self.momentum,
            nesterov=self.nesterov,
        )


def _of_part(name: str, parts: Mapping[str, float], otherwise: float) -> float:
    """Returns the value of the first prefix that a parameter's name starts with."""
    return next((value for prefix, value in parts.items() if name.startswith(prefix)), otherwise)


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Sets each learning rate to ``factor`` times its full value."""
    for group in optimizer.param_groups:
        group["lr"] = factor * group["full_rate"]
