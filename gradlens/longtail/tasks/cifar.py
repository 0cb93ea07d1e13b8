"""The tasks CIFAR100-LT and CIFAR10-LT."""

from __future__ import annotations

from pathlib import Path

import torch

from gradlens.longtail.data.augment import crop_and_flip
from gradlens.longtail.data.cifar import MEAN, STD, Name, load_cifar
from gradlens.longtail.data.labelled_images import LabelledImages, TensorImages
from gradlens.longtail.data.strong_augment import further_augmentations
from gradlens.longtail.data.validation import SPLIT
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.tasks.choice import choose
from gradlens.longtail.tasks.small_images import BORROWED, SETTINGS, preparing, resnet

IMBALANCE = 100.0


def cifar_task(
    root: Path | str | None = None,
    name: Name = "cifar100",
    *,
    imbalance: float = IMBALANCE,
    balanced: bool = False,
    subset_seed: int = 0,
    validation: int | None = None,
    device: torch.device | str = "cpu",
    cache: Path | str | None = None,
) -> Task:
    """Returns the task of CIFAR-LT.

    Args:
        root: Folder with the data; see ``load_cifar``.
        name: "cifar100" or "cifar10".
        imbalance: Largest over smallest class.
        balanced: True to train on a balanced subset of as many images. Groups and shots stay those of the long-tailed subset.
        subset_seed: Seed of the subset. 0 gives the subset that the literature uses.
        validation: Validation images of each class, taken from the training images (see ``hold_out``); None = none.
        device: Device that holds the images, as bytes.
        cache: See ``load_cifar``.

    Raises:
        DatasetNotFoundError: The data was not found.
        LongTailError: The files do not hold what their names say, or a class would have no images.
    """
    data = load_cifar(root, name, cache)
    choice = choose(data.train.labels, imbalance, balanced, subset_seed, validation)
    train = data.train.image_set(choice.train)
    prepare = preparing(MEAN, STD)
    evaluations: dict[str, LabelledImages] = {"test": TensorImages(data.test.image_set(), device, prepare)}
    if choice.held_out is not None:
        held = data.train.image_set(choice.held_out.validation)
        evaluations = {SPLIT: TensorImages(held, device, prepare)} | evaluations
    return Task(
        name=f"{name}-{'balanced' if balanced else 'lt'}",
        train=TensorImages(train, device, prepare, crop_and_flip, further_augmentations()),
        evaluations=evaluations,
        counts=choice.long_tailed.counts,
        network=resnet(train.num_classes),
        settings=SETTINGS if name == "cifar100" else BORROWED,
        source=data.source,
        held_out=choice.held_out,
    )
