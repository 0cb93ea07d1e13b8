"""``ImageSet``: the images and labels of a split as tensors in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class ImageSet:
    """Images and labels in memory.

    Attributes:
        images: [N, channels, height, width] uint8, or float if the data does not consist of bytes.
        labels: [N] int64 class ids.
        class_names: [C] names, in label order.
        digest: Hash of the chosen subset, empty for a complete split.
    """

    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    digest: str = ""

    @property
    def num_classes(self) -> int:
        """Number of classes C."""
        return len(self.class_names)

    def counts(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Returns [C] images per class."""
        return np.bincount(self.labels.cpu().numpy(), minlength=self.num_classes).astype(np.int64)

    def to(self, device: torch.device | str) -> ImageSet:
        """Returns the same images and labels on a device."""
        return ImageSet(self.images.to(device), self.labels.to(device), self.class_names, self.digest)

    def __len__(self) -> int:
        return len(self.labels)
