"""Chooses the training images of a task: all, a long-tailed subset, or a balanced subset of the same size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlens.longtail.data.subset import balanced_subset, long_tailed_subset


@dataclass(frozen=True)
class Choice:
    """The chosen images, as positions in the full training set.

    Attributes:
        train: [N] the images to train on.
        long_tailed: [N] the images whose counts decide the groups and shots. It differs from ``train`` only if that is
            balanced.
    """

    train: NDArray[np.int64]
    long_tailed: NDArray[np.int64]


def choose(labels: NDArray[Any], imbalance: float | None, balanced: bool, seed: int) -> Choice:
    """Chooses the training images.

    Args:
        labels: [N] class ids of the full training set.
        imbalance: Largest over smallest class; None = all images.
        balanced: True to train on a balanced subset of as many images as the long-tailed one has.
        seed: Seed of the subsets.

    Raises:
        LongTailError: A class has no images, or too few.
    """
    long_tailed = np.arange(len(labels)) if imbalance is None else long_tailed_subset(labels, imbalance, seed).indices
    train = balanced_subset(labels, len(long_tailed), seed).indices if balanced else long_tailed
    return Choice(train, long_tailed)
