"""Which training images of a data set a task uses: all, a long-tailed subset, or a balanced one of the same size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlens.longtail.data.subset import balanced_subset, long_tailed_subset


@dataclass(frozen=True)
class Choice:
    """Positions in the full training set.

    Attributes:
        train: [N] the images to train on.
        long_tailed: [N] the images whose counts decide groups and shots; the same but for balanced training.
    """

    train: NDArray[np.int64]
    long_tailed: NDArray[np.int64]


def choose(labels: NDArray[Any], imbalance: float | None, balanced: bool, seed: int) -> Choice:
    """Chooses the training images.

    Args:
        labels: [N] class ids of the full training set.
        imbalance: Largest over smallest class, or None to keep every image.
        balanced: Trains on as many images as the long-tailed set has, evenly spread.
        seed: Seed of the subsets.

    Raises:
        LongTailError: Classes without images, or too few of them for what is asked.
    """
    long_tailed = np.arange(len(labels)) if imbalance is None else long_tailed_subset(labels, imbalance, seed).indices
    train = balanced_subset(labels, len(long_tailed), seed).indices if balanced else long_tailed
    return Choice(train, long_tailed)
