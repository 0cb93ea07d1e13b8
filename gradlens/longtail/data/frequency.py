"""Renumbers classes from the most to the least frequent. Phases and groups need this order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlens.longtail.errors import LongTailError


def head_to_tail(labels: NDArray[Any], num_classes: int | None = None) -> NDArray[np.int64]:
    """Returns [C] the new id of each old class id. The class with the most training images gets 0; ties keep their order.

    Args:
        labels: [N] class ids of the training images.
        num_classes: C; None = the largest label plus one.

    Raises:
        LongTailError: A class has no training image.
    """
    y = np.asarray(labels, dtype=np.int64)
    counts = np.bincount(y, minlength=num_classes or 0)
    empty = np.flatnonzero(counts == 0)
    if not len(counts) or len(empty):
        raise LongTailError(
            f"{len(empty) or 'all'} of {len(counts)} classes have no training image (first ids: {empty[:5].tolist()}); "
            "class ids must run from 0 to C-1 and each class needs at least one"
        )
    new = np.empty(len(counts), dtype=np.int64)
    new[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    return new
