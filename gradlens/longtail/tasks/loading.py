"""Loads the task of a data set by its name or path."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import torch

from gradlens.longtail.data.cifar import ENVIRONMENT, Name
from gradlens.longtail.errors import DatasetNotFoundError, LongTailError, did_you_mean
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.tasks.arrays import arrays_task
from gradlens.longtail.tasks.cifar import IMBALANCE as CIFAR_IMBALANCE
from gradlens.longtail.tasks.cifar import cifar_task
from gradlens.longtail.tasks.digits import IMBALANCE as DIGITS_IMBALANCE
from gradlens.longtail.tasks.digits import digits_task
from gradlens.longtail.tasks.folder import folder_task
from gradlens.longtail.tasks.listed import LISTED, listed_task

NAMES = ("digits", "cifar100-lt", "cifar10-lt", *LISTED)


def load_task(
    dataset: str,
    *,
    data: Path | str | None = None,
    imbalance: float | None = None,
    balanced: bool = False,
    subset_seed: int = 0,
    validation: int | None = None,
    device: torch.device | str = "cpu",
    workers: int = 4,
) -> Task:
    """Returns the task of a data set.

    Args:
        dataset: One of ``NAMES``, an .npz file, or a folder with train/ and val/ or test/.
        data: Folder with the data, if ``dataset`` is a name; None = ``$GRADLENS_DATA``, then ./data.
        imbalance: Largest over smallest class; None = 100 for CIFAR, 50 for the digits, and all images for files.
        balanced: True to train on a balanced subset of as many images, with the groups of the long-tailed subset.
        subset_seed: Seed of the subset.
        validation: Validation images of each class, taken from the training images (see ``hold_out``); None = no further split.
        device: Device of the training.
        workers: Processes that read image files; at most one per core is started.

    Raises:
        DatasetNotFoundError: The name is unknown, or the data was not found.
        LongTailError: The data cannot be used.
    """
    if dataset == "digits":
        return digits_task(
            imbalance=DIGITS_IMBALANCE if imbalance is None else imbalance,
            balanced=balanced,
            subset_seed=subset_seed,
            validation=validation,
            device=device,
        )
    if dataset in ("cifar100-lt", "cifar10-lt"):
        return cifar_task(
            data,
            cast(Name, dataset.removesuffix("-lt")),
            imbalance=CIFAR_IMBALANCE if imbalance is None else imbalance,
            balanced=balanced,
            subset_seed=subset_seed,
            validation=validation,
            device=device,
        )
    if dataset in LISTED:
        if imbalance is not None or balanced:
            raise LongTailError(f"{dataset} is long-tailed by its lists; leave --imbalance and --balanced out")
        folder = _listed_folder(data, dataset)
        return listed_task(dataset, folder, validation=validation, device=device, workers=workers)
    path = Path(dataset)
    if path.is_file() or path.suffix == ".npz":
        return arrays_task(
            path, imbalance=imbalance, balanced=balanced, subset_seed=subset_seed, validation=validation, device=device
        )
    if path.is_dir():
        return folder_task(
            path,
            imbalance=imbalance,
            balanced=balanced,
            subset_seed=subset_seed,
            validation=validation,
            device=device,
            workers=workers,
        )
    raise DatasetNotFoundError(
        f"no data set {dataset!r}{did_you_mean(dataset, NAMES)}; give one of {', '.join(NAMES)}, an .npz file, or a folder with "
        "train/ and val/ or test/"
    )


def _listed_folder(data: Path | str | None, dataset: str) -> Path:
    """Returns the folder of a data set with list files: the given folder, or the folder in it with the data set's name."""
    base = Path(data if data is not None else os.environ.get(ENVIRONMENT) or "data")
    within = base / dataset
    if data is None or (within / LISTED[dataset].lists["train"]).is_file():
        return within
    return base
