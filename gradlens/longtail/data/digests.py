"""Hashes that identify a set of training images: by their paths, or by their pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

_DIGITS = 12


def files_digest(paths: Sequence[str], labels: NDArray[np.int64]) -> str:
    """Returns 12 hex digits: a hash of the lines "path label" of a list of images.

    Args:
        paths: [N] paths relative to the folder of the data set, so that the hash does not depend on where it lies.
        labels: [N] class ids.
    """
    digest = hashlib.sha256()
    for path, label in zip(paths, labels.tolist(), strict=True):
        digest.update(f"{path} {label}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:_DIGITS]


def images_digest(images: Tensor, labels: NDArray[np.int64]) -> str:
    """Returns 12 hex digits: a hash of images in memory and their labels.

    Args:
        images: [N, channels, H, W] uint8.
        labels: [N] class ids.
    """
    digest = hashlib.sha256(f"{tuple(images.shape)}".encode())
    digest.update(labels.astype("<i8").tobytes())
    digest.update(images.contiguous().numpy().data)
    return digest.hexdigest()[:_DIGITS]
