"""Chooses the images of long-tailed and balanced subsets of a training set. A hash identifies each choice."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlens.longtail.data.counts import Counts, balanced_counts, long_tailed_counts
from gradlens.longtail.errors import LongTailError


@dataclass(frozen=True)
class Subset:
    """A choice of training images.

    Attributes:
        indices: [N] positions in the full training set, class after class, in the order in which they were drawn.
        ranks: Per class, the kept images as ranks among the images of that class.
        counts: [C] kept images per class.
        digest: 12 hex digits: a hash of the ranks. It does not depend on how the classes are mixed in the file. So the same
            choice has the same hash in every packaging of the data set that keeps the order within each class.
    """

    indices: NDArray[np.int64]
    ranks: tuple[tuple[int, ...], ...]
    counts: Counts
    digest: str

    @classmethod
    def of(
        cls, indices: NDArray[Any], ranks: Sequence[tuple[int, ...]], counts: NDArray[Any] | Sequence[int]
    ) -> Subset:
        """Returns a choice with its hash."""
        text = ";".join(",".join(map(str, kept)) for kept in ranks)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        return cls(indices.astype(np.int64), tuple(ranks), np.asarray(counts, dtype=np.int64), digest)


def select_subset(labels: NDArray[Any] | Sequence[int], counts: NDArray[Any] | Sequence[int], seed: int = 0) -> Subset:
    """Chooses ``counts[c]`` random images of each class c, as LDAM-DRW does.

    For each class in turn all its positions are shuffled, and the first ``counts[c]`` are kept. All classes use the same
    generator. So with the same seed smaller counts give subsets of larger ones.

    Args:
        labels: [N] class id of each image of the full training set.
        counts: [C] images to keep.
        seed: Seed of the draw. 0 gives the subset that the literature uses.

    Raises:
        LongTailError: A class has fewer images than its count.
    """
    y = np.asarray(labels)
    rng = np.random.RandomState(seed)
    indices, ranks = [], []
    for c, keep in enumerate(np.asarray(counts, dtype=np.int64)):
        positions = np.flatnonzero(y == c)
        if keep > len(positions):
            raise LongTailError(f"class {c} has {len(positions)} images, {keep} are to be kept; lower the counts")
        order = np.arange(len(positions))
        rng.shuffle(order)
        indices.append(positions[order[:keep]])
        ranks.append(tuple(order[:keep].tolist()))
    return Subset.of(np.concatenate(indices), ranks, counts)


def whole_set(labels: NDArray[Any] | Sequence[int]) -> Subset:
    """Returns all images, in their order in the file, without a hash."""
    y = np.asarray(labels, dtype=np.int64)
    return Subset(np.arange(len(y)), (), np.bincount(y).astype(np.int64), "")


def long_tailed_subset(labels: NDArray[Any] | Sequence[int], imbalance: float, seed: int = 0) -> Subset:
    """Returns a long-tailed subset of a training set.

    Class 0 keeps as many images as the smallest class has. The last class keeps 1 / imbalance of that number. With all
    training labels of CIFAR this is CIFAR100-LT or CIFAR10-LT.

    Args:
        labels: [N] class ids in 0..C-1, every class present.
        imbalance: Largest over smallest count.
        seed: Seed of the draw.

    Raises:
        LongTailError: A class has no images, or would have none in the subset.
    """
    available = _class_sizes(labels)
    smallest, most = int(available.argmin()), int(available.min())
    if imbalance > most:
        raise LongTailError(
            f"imbalance={imbalance:g} leaves classes without an image: class {smallest} is the smallest, and "
            f"no class keeps more than its {most} images; choose an imbalance of at most {most}"
        )
    return select_subset(labels, long_tailed_counts(len(available), most, imbalance), seed)


def balanced_subset(labels: NDArray[Any] | Sequence[int], total: int, seed: int = 0) -> Subset:
    """Returns a balanced subset of ``total`` images. The numbers per class differ by at most one; the first have more.

    Args:
        labels: [N] class ids in 0..C-1, every class present.
        total: Number of images, e.g. that of the long-tailed subset it is compared with.
        seed: Seed of the draw.

    Raises:
        LongTailError: There are fewer images than classes, or a class has too few images.
    """
    return select_subset(labels, balanced_counts(len(_class_sizes(labels)), total), seed)


def _class_sizes(labels: NDArray[Any] | Sequence[int]) -> Counts:
    sizes = np.bincount(np.asarray(labels, dtype=np.int64))
    if len(sizes) == 0 or sizes.min() == 0:
        missing = np.flatnonzero(sizes == 0)[:5].tolist()
        raise LongTailError(
            f"classes without any image: {missing or 'all'}; class ids must run from 0 to C-1 without gaps"
        )
    return sizes.astype(np.int64)
