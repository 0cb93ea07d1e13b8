"""Chooses the images of an epoch and their order: plain shuffling, or the samplers of long-tailed recognition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gradlens.longtail.data import samplers
from gradlens.longtail.errors import LongTailError


@dataclass(frozen=True)
class PhaseProgress:
    """The position of a training in a phase.

    Attributes:
        epoch: t, the epoch, counted from 0.
        epochs: T, the epochs of the phase.
    """

    epoch: int
    epochs: int


# Maps ([n] labels of the phase's images, progress, CPU generator) to [n] rows of ``labels``, in the order of the visit.
Visiting = Callable[[Tensor, PhaseProgress, torch.Generator], Tensor]


def shuffled(labels: Tensor, progress: PhaseProgress, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    """Returns [n] rows: every image once, in random order."""
    return torch.randperm(len(labels), generator=generator)


def progressive(labels: Tensor, progress: PhaseProgress, generator: torch.Generator) -> Tensor:
    """Returns [n] rows drawn with replacement, from instance- to class-balanced over the epochs (Kang et al. 2020).

    Classes without images in the phase are left out: C is the number of classes that have images.
    """
    p = samplers.progressively_balanced(torch.bincount(labels), progress.epoch, progress.epochs)
    return samplers.draw(labels, p, len(labels), generator)


def class_balanced(labels: Tensor, progress: PhaseProgress, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    """Returns [n] rows drawn with replacement. Every class is equally likely."""
    return samplers.draw(labels, samplers.class_balanced(torch.bincount(labels)), len(labels), generator)


def reversed_frequency(labels: Tensor, progress: PhaseProgress, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    """Returns [n] rows drawn with replacement. Rare classes are more likely (BBN)."""
    return samplers.draw(labels, samplers.reversed_frequency(torch.bincount(labels)), len(labels), generator)


VISITING: dict[str, Visiting] = {
    "shuffled": shuffled,
    "progressive": progressive,
    "class-balanced": class_balanced,
    "reversed": reversed_frequency,
}


def visiting(name: str) -> Visiting:
    """Returns the function of a name in ``VISITING``.

    Raises:
        LongTailError: The name is unknown.
    """
    if name not in VISITING:
        raise LongTailError(f"sampler {name!r} is not known; choose one of {', '.join(VISITING)}")
    return VISITING[name]
