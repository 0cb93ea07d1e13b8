"""The task of images in a NumPy file (.npz). They are used as they are, or made long-tailed."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gradlens.longtail.data.augment import crop_and_flip
from gradlens.longtail.data.digests import images_digest
from gradlens.longtail.data.frequency import head_to_tail
from gradlens.longtail.data.image_set import ImageSet
from gradlens.longtail.data.labelled_images import TensorImages
from gradlens.longtail.data.strong_augment import further_augmentations
from gradlens.longtail.data.validation import SPLIT
from gradlens.longtail.errors import DatasetNotFoundError, LongTailError
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.tasks.choice import choose
from gradlens.longtail.tasks.small_images import BORROWED, preparing, resnet

KEYS = ("x_train", "y_train", "x_test", "y_test")


def arrays_task(
    path: Path | str,
    *,
    imbalance: float | None = None,
    balanced: bool = False,
    subset_seed: int = 0,
    validation: int | None = None,
    device: torch.device | str = "cpu",
) -> Task:
    """Returns the task of a file with ``x_train``, ``y_train``, ``x_test`` and ``y_test``, as in the files of Keras.

    Args:
        path: The file. Images are uint8 of shape [N, H, W], [N, H, W, 1 or 3] or [N, 1 or 3, H, W]; class ids are [N].
        imbalance: Largest over smallest class of a long-tailed subset; None = all images.
        balanced: See ``cifar_task``.
        subset_seed: Seed of the subset.
        validation: Validation images of each class, taken from the training images (see ``hold_out``); None = none.
        device: Device that holds the images.

    Raises:
        DatasetNotFoundError: There is no such file.
        LongTailError: The file or an array has another form, or a class has no images.
    """
    file = Path(path)
    arrays = _read(file)
    images = {split: _images(arrays[f"x_{split}"], file, f"x_{split}") for split in ("train", "test")}
    labels = {split: _labels(arrays[f"y_{split}"], len(images[split]), file, split) for split in ("train", "test")}
    choice = choose(labels["train"], imbalance, balanced, subset_seed, validation)
    new = head_to_tail(labels["train"][choice.long_tailed.indices])
    if labels["test"].max(initial=0) >= len(new):
        raise LongTailError(f"y_test of {file} holds class {labels['test'].max()}, which y_train does not have")
    names = tuple(str(c) for c in np.argsort(new))
    kept = images["train"][torch.from_numpy(choice.train.indices)]
    chosen = new[labels["train"][choice.train.indices]]
    train = ImageSet(kept, torch.from_numpy(chosen), names, images_digest(kept, chosen))
    evaluated = {"test": ImageSet(images["test"], torch.from_numpy(new[labels["test"]]), names)}
    if choice.held_out is not None:
        held = torch.from_numpy(choice.held_out.validation.indices)
        validated = torch.from_numpy(new[labels["train"][held.numpy()]])
        evaluated = {SPLIT: ImageSet(images["train"][held], validated, names)} | evaluated
    per_channel = kept.double() / 255
    mean, std = per_channel.mean((0, 2, 3)).tolist(), per_channel.std((0, 2, 3)).clamp_min(1e-3).tolist()
    prepare = preparing(mean * (3 // len(mean)), std * (3 // len(std)))
    return Task(
        name=file.stem,
        train=TensorImages(train, device, prepare, crop_and_flip, further_augmentations()),
        evaluations={split: TensorImages(data, device, prepare) for split, data in evaluated.items()},
        counts=np.bincount(new[labels["train"][choice.long_tailed.indices]], minlength=len(new)).astype(np.int64),
        network=resnet(len(new)),
        settings=BORROWED,
        source=str(file),
        held_out=choice.held_out,
    )


def _read(path: Path) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise DatasetNotFoundError(f"{path} is no file; give an .npz file with the arrays {', '.join(KEYS)}")
    try:
        # Nothing is unpickled: numpy refuses arrays of objects.
        with np.load(path, allow_pickle=False) as stored:
            missing = [key for key in KEYS if key not in stored]
            if missing:
                raise LongTailError(
                    f"{path} has the arrays {', '.join(stored) or '(none)'}; missing: {', '.join(missing)}"
                )
            return {key: stored[key] for key in KEYS}
    except (OSError, ValueError, zipfile.BadZipFile, TypeError) as error:
        if isinstance(error, LongTailError):
            raise
        raise LongTailError(f"{path} cannot be read as .npz ({error}); save it with numpy.savez") from error


def _images(array: NDArray[Any], path: Path, key: str) -> torch.Tensor:
    """Returns [N, 1 or 3, H, W] uint8."""
    if array.dtype != np.uint8:
        raise LongTailError(f"{key} of {path} has the type {array.dtype}; give images as bytes (uint8)")
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[3] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[1] not in (1, 3):
        raise LongTailError(f"{key} of {path} has the shape {array.shape}; needed is [N, H, W] or [N, H, W, 1 or 3]")
    return torch.from_numpy(np.ascontiguousarray(array))


def _labels(array: NDArray[Any], images: int, path: Path, split: str) -> NDArray[np.int64]:
    if not images:
        raise LongTailError(f"x_{split} of {path} holds no image; training and test need some")
    flat = array.reshape(-1) if array.shape in ((images,), (images, 1)) else None
    if flat is None or not np.issubdtype(array.dtype, np.integer) or (flat < 0).any():
        raise LongTailError(
            f"y_{split} of {path} has shape {array.shape} and type {array.dtype}; needed are {images} class ids from 0"
        )
    return flat.astype(np.int64)
