"""``ImageFiles``: images that stay in files. Worker processes read, decode and transform them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from gradlens.longtail.data.labelled_images import STANDARD, check_augmentation
from gradlens.longtail.errors import LongTailError

Transform = Callable[[Any], Tensor]


class ImageFiles:
    """Labelled images in files; see ``LabelledImages``."""

    def __init__(
        self,
        paths: Sequence[Path],
        labels: NDArray[np.int64],
        class_names: tuple[str, ...],
        *,
        augment: Transform,
        prepare: Transform,
        device: torch.device | str = "cpu",
        workers: int = 0,
        digest: str = "",
    ) -> None:
        """Keeps the list of files. Nothing is read yet.

        Args:
            paths: [N] files.
            labels: [N] class ids.
            class_names: [C] names, in label order.
            augment: Maps a PIL image to [channels, H, W] for training.
            prepare: Maps a PIL image to [channels, H, W] for evaluation and features.
            device: Device of the batches.
            workers: Processes that read images; at most one per core is started. 0 = the training process reads.
            digest: Hash of the chosen subset, empty for a complete split.
        """
        self.labels = torch.from_numpy(np.ascontiguousarray(labels))
        self.class_names = class_names
        self.digest = digest
        self._views = {True: _View(paths, augment), False: _View(paths, prepare)}
        self._device = torch.device(device)
        self._workers = min(workers, _cores())

    @property
    def augmentations(self) -> tuple[str, ...]:
        """See ``LabelledImages.augmentations``."""
        return (STANDARD,)

    def batches(
        self, positions: Tensor, size: int, *, augmented: bool, seed: int = 0, augmentation: str = STANDARD
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See ``LabelledImages.batches``.

        Raises:
            LongTailError: A file cannot be decoded, or there is no such augmentation.
        """
        check_augmentation(augmentation, self.augmentations)
        loader: DataLoader[tuple[Tensor, int] | LongTailError] = DataLoader(
            self._views[augmented],
            batch_size=size,
            sampler=positions.tolist(),
            num_workers=self._workers,
            collate_fn=_batch,
            pin_memory=self._device.type == "cuda",
            generator=torch.Generator().manual_seed(seed),  # seeds the workers
        )
        for batch in loader:
            if isinstance(batch, LongTailError):
                raise batch
            images, rows = batch
            yield images.to(self._device, non_blocking=True), self.labels[rows].to(self._device, non_blocking=True)


class _View(Dataset[tuple[Tensor, int] | LongTailError]):
    """Images by position. If an image cannot be read, the item is the error.

    The error is not raised, since an error from a worker process arrives with its whole traceback as the message.
    """

    def __init__(self, paths: Sequence[Path], transform: Transform) -> None:
        # One array of text, not a list: reference counts would make the workers copy a list page by page.
        self._paths = np.array([str(path) for path in paths])
        self._transform = transform

    def __getitem__(self, row: int) -> tuple[Tensor, int] | LongTailError:
        from PIL import Image, UnidentifiedImageError

        path = str(self._paths[row])
        try:
            with Image.open(path) as image:
                return self._transform(image.convert("RGB")), row
        except (UnidentifiedImageError, OSError) as error:
            return LongTailError(f"{path} cannot be read as an image ({error}); copy it again")

    def __len__(self) -> int:
        return len(self._paths)


def _batch(items: list[tuple[Tensor, int] | LongTailError]) -> Any:
    """Returns ([B, channels, H, W] images, [B] positions), or the error of the first image that cannot be read."""
    return next((item for item in items if isinstance(item, LongTailError)), None) or default_collate(items)


def _cores() -> int:
    """Returns the number of cores that this process may use. More workers would only wait for each other."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
