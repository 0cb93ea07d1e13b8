"""The samplers of long-tailed recognition: their class probabilities, and drawing images with them.

Index notation: j runs over the C classes, n_j is the number of training images of class j. In every sampler a class without
images has probability 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from gradlens.longtail.errors import LongTailError

ImageCounts = Sequence[int] | NDArray[Any] | Tensor


def instance_balanced(counts: ImageCounts) -> Tensor:
    """Returns [C] p_j = n_j / sum(n): every image is equally likely."""
    n = _checked(counts)
    return n / n.sum()


def class_balanced(counts: ImageCounts) -> Tensor:
    """Returns [C] p_j = 1 / C over the classes that have images: every class is equally likely."""
    present = (_checked(counts) > 0).double()
    return present / present.sum()


def progressively_balanced(counts: ImageCounts, epoch: int, epochs: int) -> Tensor:
    """Returns [C] p_j(t) = (1 - t/T) n_j / sum(n) + (t/T) / C, from instance- to class-balanced (Kang et al. 2020).

    Phase I of the paper uses it with the counts of the C1 head classes, so both terms are over C1 classes.

    Args:
        counts: [C] training images per class.
        epoch: t, from 0.
        epochs: T.

    Raises:
        LongTailError: The epoch is outside 0..T, or the counts are not usable.
    """
    if epochs < 1 or not 0 <= epoch <= epochs:
        raise LongTailError(
            f"epoch {epoch} of {epochs}; there must be at least one epoch, and the epoch must be in 0..{max(epochs, 1)}"
        )
    t = epoch / epochs
    return (1 - t) * instance_balanced(counts) + t * class_balanced(counts)


def reversed_frequency(counts: ImageCounts) -> Tensor:
    """Returns [C] p_j = (1 / n_j) / sum(1 / n): rare classes are more likely (BBN, Zhou et al. 2020)."""
    n = _checked(counts)
    inverse = torch.where(n > 0, 1 / n.clamp_min(1), 0.0)
    return inverse / inverse.sum()


def draw(labels: Tensor, probabilities: Tensor, size: int, generator: torch.Generator | None = None) -> Tensor:
    """Draws images with replacement: first a class by its probability, then one of its images.

    Args:
        labels: [N] int64 class id of each training image.
        probabilities: [C] class probabilities; 0 for classes without images.
        size: Number of images to draw, usually N.
        generator: Source of the draws, on the device of ``labels``.

    Returns:
        [size] int64 positions into ``labels``.

    Raises:
        LongTailError: A class has a probability above 0 but no images, or a label is C or more.
    """
    p = probabilities.to(labels.device, torch.float64)
    counts = torch.bincount(labels, minlength=len(p))
    if len(counts) > len(p) or bool(((counts == 0) & (p > 0)).any()):
        empty = torch.nonzero((counts[: len(p)] == 0) & (p > 0)).flatten().tolist()
        raise LongTailError(
            f"probabilities for {len(p)} classes do not fit labels of {len(counts)}: classes {empty} have no images"
        )
    # The probability of a class is divided evenly among its images. A million images need double precision.
    return torch.multinomial((p / counts.clamp_min(1))[labels], size, replacement=True, generator=generator)


def class_aware(labels: Tensor, size: int, in_a_row: int = 4, generator: torch.Generator | None = None) -> Tensor:
    """Draws images class by class (facebookresearch/classifier-balancing, data/ClassAwareSampler.py).

    The classes that have images take turns, in rounds of a new random order each. At its turn a class gives ``in_a_row`` images.
    It gives each of its images once, in random order, before it gives one again.

    Args:
        labels: [N] int64 class id of each image.
        size: Number of images to draw.
        in_a_row: Images of a class at its turn.
        generator: Source of the draws, on the CPU.

    Returns:
        [size] int64 positions into ``labels``.

    Raises:
        LongTailError: ``in_a_row`` or the number of images is below 1.
    """
    if in_a_row < 1 or not len(labels):
        raise LongTailError(f"in_a_row={in_a_row}, {len(labels)} images; both must be at least 1")
    counts = torch.bincount(labels)
    classes = torch.nonzero(counts).flatten()
    turns = -(-size // in_a_row)
    order = _cycled(classes, turns, generator)  # [turns] the class whose turn it is
    turns_of_class = torch.split(
        torch.argsort(order, stable=True), torch.bincount(order, minlength=len(counts)).tolist()
    )
    images_of_class = torch.split(torch.argsort(labels, stable=True), counts.tolist())
    drawn = torch.empty(turns, in_a_row, dtype=torch.int64)
    for own, images in zip(turns_of_class, images_of_class, strict=True):
        drawn[own] = _cycled(images, len(own) * in_a_row, generator).view(-1, in_a_row)
    return drawn.flatten()[:size]


def _cycled(values: Tensor, size: int, generator: torch.Generator | None) -> Tensor:
    """Returns [size] values: all of them in random order, then all in another random order, and so on."""
    rounds = -(-size // len(values)) if size else 0
    orders = [values[torch.randperm(len(values), generator=generator)] for _ in range(rounds)]
    return torch.cat([values[:0], *orders])[:size]


def _checked(counts: ImageCounts) -> Tensor:
    n = torch.as_tensor(counts).double()
    if n.ndim != 1 or not len(n) or not bool(torch.isfinite(n).all()) or bool((n < 0).any()) or n.sum() == 0:
        raise LongTailError(f"class counts must be a list of non-negative numbers, not all zero, got {counts!r}")
    return n
