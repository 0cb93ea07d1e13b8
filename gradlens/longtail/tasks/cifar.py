"""The tasks CIFAR100-LT and CIFAR10-LT."""

from __future__ import annotations

from pathlib import Path

import torch

from gradlens.longtail.data.augment import crop_and_flip
from gradlens.longtail.data.cifar import MEAN, STD, Name, load_cifar
from gradlens.longtail.data.labelled_images import TensorImages
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.tasks.small_images import BORROWED, SETTINGS, preparing, resnet

IMBALANCE = 100.0


def cifar_task(
    root: Path | str | None = None,
    name: Name = "cifar100",
    *,
    imbalance: float = IMBALANCE,
    balanced: bool = False,
    subset_seed: int = 0,
    device: torch.device | str = "cpu",
    cache: Path | str | None = None,
) -> Task:
    """Returns the task of CIFAR-LT.

    Args:
        root: Folder with the data; see ``load_cifar``.
        name: "cifar100" or "cifar10".
        imbalance: Largest over smallest class.
        balanced: Trains on as many images, spread evenly over the classes; groups and shots stay the long-tailed ones.
        subset_seed: 0 is the community's subset.
        device: Where the images are kept, as bytes.
        cache: See ``load_cifar``.

    Raises:
        DatasetNotFoundError: No such data.
        LongTailError: Files that are not what their names say, or an imbalance that leaves classes empty.
    """
    data = load_cifar(root, name, cache)
    long_tailed = data.long_tailed(imbalance, subset_seed)
    train = data.balanced(len(long_tailed), subset_seed) if balanced else long_tailed
    prepare = preparing(MEAN, STD)
    return Task(
        name=f"{name}-{'balanced' if balanced else 'lt'}",
        train=TensorImages(train, device, prepare, crop_and_flip),
        evaluations={"test": TensorImages(data.test.image_set(), device, prepare)},
        counts=long_tailed.counts(),
        network=resnet(train.num_classes),
        settings=SETTINGS if name == "cifar100" else BORROWED,
        source=data.source,
    )
