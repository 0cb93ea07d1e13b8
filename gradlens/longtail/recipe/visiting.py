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
    """Returns [n] rows drawn with replacement. Every class is equally likely.

    These are also the draws of code that weights each image by 1 / n_y (``BalancedDatasetSampler`` of Keke921/GCLLoss).
    """
    return samplers.draw(labels, samplers.class_balanced(torch.bincount(labels)), len(labels), generator)


def reversed_frequency(labels: Tensor, progress: PhaseProgress, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    """Returns [n] rows drawn with replacement. The probability of a class is in proportion to 1 / n_j (BBN)."""
    return samplers.draw(labels, samplers.reversed_frequency(torch.bincount(labels)), len(labels), generator)


@dataclass(frozen=True)
class ClassAware:
    """Visits four images of a class, then four of another: see ``samplers.class_aware``.

    Each epoch begins new rounds, so that a training can be resumed at an epoch. In the reference code rounds go on.

    Attributes:
        images: Images in an epoch; None = as many as the phase has.
    """

    images: int | None = None

    def __call__(self, labels: Tensor, progress: PhaseProgress, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """See ``Visiting``. It returns ``images`` rows."""
        return samplers.class_aware(labels, len(labels) if self.images is None else self.images, generator=generator)


VISITING: dict[str, Visiting] = {
    "shuffled": shuffled,
    "progressive": progressive,
    "class-balanced": class_balanced,
    "class-aware": ClassAware(),
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
