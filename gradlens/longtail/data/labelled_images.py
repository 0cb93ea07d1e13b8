"""``LabelledImages``: the interface from which a training reads its batches. ``TensorImages`` keeps them on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import torch
from torch import Tensor

from gradlens.longtail.data.image_set import ImageSet
from gradlens.longtail.errors import LongTailError

Augment = Callable[[Tensor, torch.Generator | None], Tensor]
Prepare = Callable[[Tensor], Tensor]

STANDARD = "standard"  # the augmentation of a task's recipe, which all its images have


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

    @property
    def augmentations(self) -> tuple[str, ...]:
        """Names of the augmentations, ``STANDARD`` first."""

    def batches(
        self, positions: Tensor, size: int, *, augmented: bool, seed: int = 0, augmentation: str = STANDARD
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields (images [B, channels, H, W] ready for the network, labels [B]) on the device of the training.

        Args:
            positions: [n] int64 positions of the images, on the CPU. They are read in this order.
            size: B; the last batch may be smaller.
            augmented: True for random augmentation; False for the transform of the test.
            seed: Seed of the augmentation.
            augmentation: One of ``augmentations``.

        Raises:
            LongTailError: There is no such augmentation.
        """


class TensorImages:
    """Images in memory. Batches are augmented on the device that holds the images.

    This takes a fraction of a millisecond for a batch of CIFAR. Worker processes that decode and transform each image would
    take milliseconds.
    """

    def __init__(
        self,
        data: ImageSet,
        device: torch.device | str,
        prepare: Prepare | None = None,
        augment: Augment | None = None,
        further: Mapping[str, Augment] | None = None,
    ) -> None:
        """Moves the images to the device.

        Args:
            data: The split. Bytes stay bytes.
            device: Device of the training.
            prepare: Turns a batch into network input; None = no change.
            augment: Standard augmentation of a batch before ``prepare``; None = no augmentation.
            further: Further augmentations by name.
        """
        self.labels = data.labels.cpu()
        self.class_names = data.class_names
        self.digest = data.digest
        self._data = data.to(device)
        self._prepare = prepare
        self._augment: dict[str, Augment | None] = {STANDARD: augment, **(further or {})}

    @property
    def augmentations(self) -> tuple[str, ...]:
        """See ``LabelledImages.augmentations``."""
        return tuple(self._augment)

    def batches(
        self, positions: Tensor, size: int, *, augmented: bool, seed: int = 0, augmentation: str = STANDARD
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See ``LabelledImages.batches``."""
        check_augmentation(augmentation, self.augmentations)
        augment = self._augment[augmentation]
        device = self._data.images.device
        generator = torch.Generator(device).manual_seed(seed)
        for chunk in torch.split(positions.to(device), size):
            images = self._data.images[chunk]
            if augmented and augment is not None:
                images = augment(images, generator)
            yield images if self._prepare is None else self._prepare(images), self._data.labels[chunk]


def check_augmentation(name: str, known: tuple[str, ...]) -> None:
    """Makes sure that images have an augmentation.

    Raises:
        LongTailError: They do not.
    """
    if name not in known:
        raise LongTailError(f"augmentation={name!r}; these images have {', '.join(known)}")
