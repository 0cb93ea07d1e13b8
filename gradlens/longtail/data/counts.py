"""Numbers of training images per class: long-tailed and balanced counts, and the number of head classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlens.classes.shots import FEW_BELOW
from gradlens.longtail.errors import LongTailError

Counts = NDArray[np.int64]


def long_tailed_counts(num_classes: int, max_count: int, imbalance: float) -> Counts:
    """Returns [C] counts of the exponential profile n_c = int(max_count * imbalance^(-c / (C - 1))), rounded down.

    Class ids are in head-to-tail order (LDAM-DRW, Cao et al. 2019; CIFAR100-LT is ``(100, 500, 100)``).

    Args:
        num_classes: Number of classes C.
        max_count: Images of class 0.
        imbalance: Largest over smallest count before truncation, at least 1 (1 = balanced).

    Raises:
        LongTailError: An argument is below 1, or the last classes would have no image.
    """
    if num_classes < 1 or max_count < 1:
        raise LongTailError(f"num_classes={num_classes}, max_count={max_count}; both must be at least 1")
    if not imbalance >= 1 or not np.isfinite(imbalance):
        raise LongTailError(f"imbalance={imbalance}; give largest over smallest count, a finite number of at least 1")
    mu = 1.0 / imbalance
    # The exponent must be evaluated in this order. Another order rounds differently and may change int() by one.
    counts = np.array(
        [int(max_count * mu ** (c / max(num_classes - 1, 1))) for c in range(num_classes)], dtype=np.int64
    )
    if counts[-1] < 1:
        raise LongTailError(
            f"imbalance={imbalance} leaves {int((counts < 1).sum())} of {num_classes} classes without an image "
            f"(class 0 has {max_count}); choose an imbalance of at most {max_count}"
        )
    return counts


def balanced_counts(num_classes: int, total: int) -> Counts:
    """Returns [C] counts that add up to ``total`` and differ by at most one. The larger ones come first.

    Raises:
        LongTailError: There are fewer images than classes.
    """
    if num_classes < 1 or total < num_classes:
        raise LongTailError(f"total={total} images cannot cover {num_classes} classes; give at least one for each")
    counts = np.full(num_classes, total // num_classes, dtype=np.int64)
    counts[: total % num_classes] += 1
    return counts


def head_size(counts: Sequence[int] | NDArray[Any]) -> int:
    """Returns C1, the number of head classes. By the paper's rule these have at least 20 images (Section 3.2).

    CIFAR100-LT: 82, 70 and 61 for imbalance 50, 100 and 200.

    Args:
        counts: [C] training images per class, in any order.

    Raises:
        LongTailError: All classes are head classes or none is (C1 = C or 0), so there are no two phases.
    """
    size = int((np.asarray(counts) >= FEW_BELOW).sum())
    if size in (0, len(counts)):
        raise LongTailError(
            f"C1 = {size} of {len(counts)} classes have at least {FEW_BELOW} images, which leaves one phase empty; "
            "choose another imbalance or give the number of head classes with --set head_classes=N"
        )
    return size
