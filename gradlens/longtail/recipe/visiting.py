"""In which order an epoch visits the images: plain shuffling and the samplers of long-tailed recognition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gradlens.longtail.data import samplers
from gradlens.longtail.errors import LongTailError


@dataclass(frozen=True)
class PhaseProgress:
    """Where in a phase a training is.

    Attributes:
        epoch: t, from 0.
        epochs: T, epochs of the phase.
    """

    epoch: int
    epochs: int


# (labels [n] of the phase's images, progress, CPU generator) -> [n] rows of ``labels`` in the order of the visit
Visiting = Callable[[Tensor, PhaseProgress, torch.Generator], Tensor]


def shuffled(labels: Tensor, progress: PhaseProgress, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    """Every image once, in random order."""
    return torch.randperm(len(labels), generator=generator)


def progressive(labels: Tensor, progress: PhaseProgress, generator: torch.Generator) -> Tensor:
    """As many draws as images, from instance- to class-balanced over the epochs of the phase (Kang et al. 2020).

    Classes without an image in the phase take no part: C is the number of those that have one.
    """
    p = samplers.progressively_balanced(torch.bincount(labels), progress.epoch, progress.epochs)
    return samplers.draw(labels, p, len(labels), generator)


def class_balanced(labels: Tensor, progress: PhaseProgress, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    """As many draws as images, every class equally likely."""
    return samplers.draw(labels, samplers.class_balanced(torch.bincount(labels)), len(labels), generator)


def reversed_frequency(labels: Tensor, progress: PhaseProgress, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    """As many draws as images, the rarer a class the likelier (BBN)."""
    return samplers.draw(labels, samplers.reversed_frequency(torch.bincount(labels)), len(labels), generator)


VISITING: dict[str, Visiting] = {
    "shuffled": shuffled,
    "progressive": progressive,
    "class-balanced": class_balanced,
    "reversed": reversed_frequency,
}


def visiting(name: str) -> Visiting:
    """Returns the order of a name.

    Raises:
        LongTailError: No such order.
    """
    if name not in VISITING:
        raise LongTailError(f"sampler {name!r} is not known; choose one of {', '.join(VISITING)}")
    return VISITING[name]
