"""``LabelledImages``: the interface from which a training reads its batches. ``TensorImages`` keeps them on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from gradlens.longtail.data.image_set import ImageSet

Augment = Callable[[Tensor, torch.Generator | None], Tensor]
Prepare = Callable[[Tensor], Tensor]


class LabelledImages(Protocol):
    """Images that can be read batch by batch, in any order."""

    @property
    def labels(self) -> Tensor:
        """[N] int64 class ids, on the CPU."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """[C] names, in label order."""

    @property
    def digest(self) -> str:
        """Hash of the chosen subset, empty for a complete split."""

    def batches(
        self, positions: Tensor, size: int, *, augmented: bool, seed: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields (images [B, channels, H, W] ready for the network, labels [B]) on the device of the training.

        Args:
            positions: [n] int64 positions of the images, on the CPU. They are read in this order.
            size: B; the last batch may be smaller.
            augmented: True for random augmentation; False for the transform of the test.
            seed: Seed of the augmentation.
        """


class TensorImages:
    """Images in memory. Batches are augmented on the device that holds the images.

    This takes a fraction of a millisecond for a batch of CIFAR. Worker processes that decode and transform each image would
    take milliseconds.
    """

    def __init__(
        self, data: ImageSet, device: torch.device | str, prepare: Prepare | None = None, augment: Augment | None = None
    ) -> None:
        """Moves the images to the device.

        Args:
            data: The split. Bytes stay bytes.
            device: Device of the training.
            prepare: Turns a batch into network input; None = no change.
            augment: Random augmentation of a batch before ``prepare``; None = no augmentation.
        """
        self.labels = data.labels.cpu()
        self.class_names = data.class_names
        self.digest = data.digest
        self._data = data.to(device)
        self._prepare = prepare
        self._augment = augment

    def batches(
        self, positions: Tensor, size: int, *, augmented: bool, seed: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See ``LabelledImages.batches``."""
        device = self._data.images.device
        generator = torch.Generator(device).manual_seed(seed)
        for chunk in torch.split(positions.to(device), size):
            images = self._data.images[chunk]
            if augmented and self._augment is not None:
                images = self._augment(images, generator)
            yield images if self._prepare is None else self._prepare(images), self._data.labels[chunk]
