"""Chooses the images of a task: all, a long-tailed subset, or a balanced one of the same size; and a validation split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from gradlens.longtail.data.subset import Subset, balanced_subset, long_tailed_subset, whole_set
from gradlens.longtail.data.validation import HeldOut, hold_out


@dataclass(frozen=True)
class Choice:
    """The chosen images.

    Attributes:
        train: The images to train on.
        long_tailed: The images whose counts decide the groups and shots. It differs from ``train`` only if that is balanced.
        held_out: The validation images; None if there are none.
    """

    train: Subset
    long_tailed: Subset
    held_out: HeldOut | None = None


def choose(
    labels: NDArray[Any], imbalance: float | None, balanced: bool, seed: int, validation: int | None = None
) -> Choice:
    """Chooses the images.

    Args:
        labels: [N] class ids of the full training set.
        imbalance: Largest over smallest class; None = all images.
        balanced: True to train on a balanced subset of as many images as the long-tailed one has.
        seed: Seed of the subsets.
        validation: Validation images of each class, see ``hold_out``; None = no validation split.

    Raises:
        LongTailError: A class has no images, or too few.
    """
    long_tailed = whole_set(labels) if imbalance is None else long_tailed_subset(labels, imbalance, seed)
    held_out = None
    if validation is not None:
        held_out = hold_out(labels, long_tailed, validation, seed)
        long_tailed = held_out.subset
    if not balanced:
        return Choice(long_tailed, long_tailed, held_out)
    train = balanced_subset(labels, len(long_tailed.indices), seed)
    if validation is not None:
        held_out = hold_out(labels, train, validation, seed)
        train = held_out.subset
    return Choice(train, long_tailed, held_out)
