"""The task of an image folder (train/CLASS/*, test/CLASS/* or val/CLASS/*). It is used as it is, or made long-tailed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gradlens.longtail.data.digests import files_digest
from gradlens.longtail.data.frequency import head_to_tail
from gradlens.longtail.data.image_files import ImageFiles
from gradlens.longtail.data.validation import SPLIT
from gradlens.longtail.errors import DatasetNotFoundError, LongTailError
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.tasks import photos
from gradlens.longtail.tasks.choice import choose

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff"})
EVALUATED = ("val", "test")


def folder_task(
    root: Path | str,
    *,
    imbalance: float | None = None,
    balanced: bool = False,
    subset_seed: int = 0,
    validation: int | None = None,
    device: torch.device | str = "cpu",
    workers: int = 0,
    size: int = 224,
) -> Task:
    """Returns the task of an image folder.

    Args:
        root: Folder with ``train`` and ``val`` or ``test``, each with one folder per class.
        imbalance: Largest over smallest class of a long-tailed subset; None = all images.
        balanced: See ``cifar_task``.
        subset_seed: Seed of the subset.
        validation: Validation images of each class, taken from the training images (see ``hold_out``); None = none.
        device: Device of the batches.
        workers: Processes that read images.
        size: Height and width of the network's input in pixels.

    Raises:
        DatasetNotFoundError: A folder is missing.
        LongTailError: A class or an evaluation split has no images, or an evaluation split has a class that training does not
            have.
    """
    folder = Path(root)
    splits = [split for split in EVALUATED if (folder / split).is_dir()]
    if not (folder / "train").is_dir() or not splits:
        raise DatasetNotFoundError(
            f"{folder} needs a folder train/ and one of val/ and test/, each with a folder of images for each class"
        )
    classes = sorted(path.name for path in (folder / "train").iterdir() if path.is_dir())
    if not classes:
        raise DatasetNotFoundError(f"{folder / 'train'} has no folders of classes")
    files, labels = _files(folder / "train", classes)
    empty = [
        name for name, count in zip(classes, np.bincount(labels, minlength=len(classes)), strict=True) if not count
    ]
    if empty:
        raise LongTailError(
            f"{folder / 'train'} has no image in {len(empty)} of {len(classes)} folders, the first is {empty[0]!r}; remove them "
            f"or put images there ({', '.join(sorted(EXTENSIONS))})"
        )
    evaluated = {split: _files(folder / split, classes) for split in splits}
    for split, (images_of_split, _) in evaluated.items():
        if not images_of_split:
            raise LongTailError(f"{folder / split} has no image to evaluate on; put some there or remove it")
    if validation is not None and len(splits) > 1:
        raise LongTailError(f"{folder} has val/ and test/, so val/ is the validation split; leave --validation out")
    choice = choose(labels, imbalance, balanced, subset_seed, validation)
    new = head_to_tail(labels[choice.long_tailed.indices], len(classes))
    names = tuple(classes[c] for c in np.argsort(new))
    chosen = [files[i] for i in choice.train.indices]
    digest = files_digest([path.relative_to(folder).as_posix() for path in chosen], labels[choice.train.indices])
    if choice.held_out is not None:
        held = choice.held_out.validation.indices
        evaluated = {SPLIT: ([files[i] for i in held], labels[held])} | evaluated
    augment, prepare = photos.transforms(photos.IMAGENET_STATISTICS, jitter=True, size=size)

    def images(paths: list[Path], ids: NDArray[np.int64], digest: str = "") -> ImageFiles:
        return ImageFiles(
            paths, new[ids], names, augment=augment, prepare=prepare, device=device, workers=workers, digest=digest
        )

    return Task(
        name=folder.name,
        train=images(chosen, labels[choice.train.indices], digest),
        evaluations={split: images(*found) for split, found in evaluated.items()},
        counts=np.bincount(new[labels[choice.long_tailed.indices]], minlength=len(classes)).astype(np.int64),
        network=photos.resnet(len(classes)),
        settings=photos.FOLDER_SETTINGS,
        source=str(folder),
        held_out=choice.held_out,
    )


def _files(folder: Path, classes: list[str]) -> tuple[list[Path], NDArray[np.int64]]:
    """Returns the N images of a split and their [N] class ids, sorted by class and by name."""
    found = sorted(path.name for path in folder.iterdir() if path.is_dir())
    unknown = [name for name in found if name not in classes]
    if unknown:
        raise LongTailError(f"{folder} has the class {unknown[0]!r}, which train/ does not have")
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        images = sorted(p for p in (folder / name).rglob("*") if p.suffix.lower() in EXTENSIONS and p.is_file())
        files += images
        labels += [label] * len(images)
    return files, np.array(labels, dtype=np.int64)
