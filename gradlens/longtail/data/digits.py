"""The handwritten digits of scikit-learn, as long-tailed and balanced data sets. They need no download."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from gradlens.longtail.data.image_set import ImageSet
from gradlens.longtail.data.subset import Subset, balanced_subset, long_tailed_subset
from gradlens.longtail.errors import DatasetNotFoundError

TEST_PER_CLASS = 50


@dataclass(frozen=True)
class Digits:
    """The 1,797 digits of 8 x 8 pixels, split into images for training and a balanced test set.

    Attributes:
        pool: The images that training sets are taken from; at least 124 of each class.
        test: 50 images of each class.
        order: [10] the digit of each class id. Class 0 is the largest class of a long-tailed subset.
    """

    pool: ImageSet
    test: ImageSet
    order: tuple[int, ...]

    def long_tailed(self, imbalance: float, seed: int = 0) -> ImageSet:
        """Returns a long-tailed training set: class 0 keeps 124 images, class 9 about 124 / imbalance."""
        return self.subset(long_tailed_subset(self.pool.labels.numpy(), imbalance, seed))

    def balanced(self, total: int, seed: int = 0) -> ImageSet:
        """Returns a balanced training set of ``total`` images."""
        return self.subset(balanced_subset(self.pool.labels.numpy(), total, seed))

    def subset(self, subset: Subset) -> ImageSet:
        """Returns the images of a subset of the pool."""
        positions = torch.from_numpy(subset.indices)
        return ImageSet(self.pool.images[positions], self.pool.labels[positions], self.pool.class_names, subset.digest)


def load_digits(seed: int = 0) -> Digits:
    """Loads the digits with a random order of the classes, so that chance decides which digits are rare.

    Args:
        seed: Seed of the class order and of the choice of test images.

    Returns:
        The digits. Their images are [N, 1, 8, 8] float32 in 0..1.

    Raises:
        DatasetNotFoundError: scikit-learn is not installed.
    """
    try:
        from sklearn import datasets
    except ImportError as error:
        raise DatasetNotFoundError(
            "the digits come with scikit-learn, which is not installed; run: pip install -e '.[lab]'"
        ) from error
    bunch = datasets.load_digits()
    rng = np.random.default_rng(seed)
    order = rng.permutation(10)  # class id -> digit
    labels = np.argsort(order)[bunch.target]  # digit -> class id
    held_out = np.concatenate([rng.permutation(np.flatnonzero(labels == c))[:TEST_PER_CLASS] for c in range(10)])
    names = tuple(f"digit {digit}" for digit in order)
    images = torch.from_numpy(bunch.images / 16.0).float().unsqueeze(1)  # [1797, 1, 8, 8]

    def split(positions: np.ndarray[tuple[int], np.dtype[np.int64]]) -> ImageSet:
        return ImageSet(images[positions], torch.from_numpy(labels[positions]).long(), names)

    pool = np.setdiff1d(np.arange(len(labels)), held_out)
    return Digits(split(pool), split(np.sort(held_out)), tuple(int(digit) for digit in order))
