"""The tasks ImageNet-LT, Places-LT and iNaturalist 2018. List files say which images they have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray

from gradlens.longtail.data.digests import files_digest
from gradlens.longtail.data.frequency import head_to_tail
from gradlens.longtail.data.image_files import ImageFiles
from gradlens.longtail.data.list_files import Layouts, Listed, imagenet_layouts, places_layouts, read_list
from gradlens.longtail.data.validation import SPLIT
from gradlens.longtail.errors import DatasetNotFoundError, LongTailError
from gradlens.longtail.recipe.settings import Settings
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.tasks import photos
from gradlens.longtail.tasks.choice import choose


@dataclass(frozen=True)
class ListedData:
    """A data set whose images are listed in files.

    Attributes:
        title: Its name in the literature.
        lists: Split -> name of the list file; "train" comes first. The next split is evaluated after each epoch.
        layouts: Returns other paths of an image; None = there are none.
        statistics: Means and standard deviations of the channels.
        jitter: True if training changes colours at random.
        settings: The settings of the paper.
        origin: Where the lists and images come from.
    """

    title: str
    lists: dict[str, str]
    layouts: Layouts | None
    statistics: tuple[Sequence[float], Sequence[float]]
    jitter: bool
    settings: Settings
    origin: str


_OLTR = "the repository of OLTR (Liu et al. 2019)"
LISTED: dict[str, ListedData] = {
    "imagenet-lt": ListedData(
        "ImageNet-LT",
        {split: f"ImageNet_LT_{split}.txt" for split in ("train", "val", "test")},
        imagenet_layouts,
        photos.IMAGENET_STATISTICS,
        True,
        photos.IMAGENET_SETTINGS,
        f"lists from {_OLTR}, images from ImageNet (ILSVRC2012)",
    ),
    "places-lt": ListedData(
        "Places-LT",
        {split: f"Places_LT_{split}.txt" for split in ("train", "val", "test")},
        places_layouts,
        photos.IMAGENET_STATISTICS,
        True,
        photos.PLACES_SETTINGS,
        f"lists from {_OLTR}, images from Places365-Standard (256 x 256)",
    ),
    "inaturalist2018": ListedData(
        "iNaturalist 2018",
        {split: f"iNaturalist18_{split}.txt" for split in ("train", "val")},
        None,
        photos.INATURALIST_STATISTICS,
        False,
        photos.INATURALIST_SETTINGS,
        "lists from the repository of classifier-balancing (Kang et al. 2020), images from the iNaturalist 2018 challenge",
    ),
}


def listed_task(
    name: str,
    root: Path | str,
    *,
    validation: int | None = None,
    device: torch.device | str = "cpu",
    workers: int = 0,
    size: int = 224,
) -> Task:
    """Returns the task of a data set with list files.

    Args:
        name: "imagenet-lt", "places-lt" or "inaturalist2018".
        root: Folder with the images. The lists lie directly in it.
        validation: Validation images of each class, taken from the training list (see ``hold_out``); None = none. Only for data
            whose single evaluation split is the test set of its papers.
        device: Device of the batches.
        workers: Processes that read images.
        size: Height and width of the network's input in pixels.

    Raises:
        DatasetNotFoundError: A list or images are missing.
        LongTailError: A list has another form, a class has no training images, or the data has a validation split already.
    """
    data = LISTED[name]
    folder = Path(root)
    lists = {split: folder / file for split, file in data.lists.items()}
    absent = [path.name for path in lists.values() if not path.is_file()]
    if absent:
        raise DatasetNotFoundError(
            f"{data.title} not found: {', '.join(absent)} not in {folder.absolute()}. Needed are {data.origin}; put the lists "
            "into the folder to which their paths are relative, and pass it with --data"
        )
    splits = {split: read_list(path, folder, data.layouts) for split, path in lists.items()}
    train, held_out = splits["train"], None
    if validation is not None:
        if "test" in splits:
            raise LongTailError(f"{data.title} has a validation split of its own; leave --validation out")
        held_out = choose(train.labels, None, False, 0, validation).held_out
        assert held_out is not None
        train, held = train.at(held_out.subset.indices), train.at(held_out.validation.indices)
        splits = {"train": train, SPLIT: held} | {split: splits[split] for split in splits if split != "train"}
    new = head_to_tail(train.labels)
    for split, listed in splits.items():
        if listed.labels.max() >= len(new):
            raise LongTailError(
                f"{lists[split]} holds class {listed.labels.max()}, which the training list does not have"
            )
    names = _names(train, new)
    counts = np.bincount(new[train.labels]).astype(np.int64)
    augment, prepare = photos.transforms(data.statistics, jitter=data.jitter, size=size)
    images = {
        split: ImageFiles(
            listed.files,
            new[listed.labels],
            names,
            augment=augment,
            prepare=prepare,
            device=device,
            workers=workers,
            digest=files_digest(train.listed, train.labels) if split == "train" else "",
        )
        for split, listed in splits.items()
    }
    return Task(
        name=name,
        train=images["train"],
        evaluations={split: images[split] for split in splits if split != "train"},
        counts=counts,
        network=photos.resnet(len(counts)),
        settings=data.settings,
        source=str(folder),
        held_out=held_out,
    )


def _names(train: Listed, new: NDArray[np.int64]) -> tuple[str, ...]:
    """Returns [C] class names: the name of the folder of each class's first image."""
    names = [""] * len(new)
    for label, listed in zip(reversed(train.labels.tolist()), reversed(train.listed), strict=True):
        names[new[label]] = PurePosixPath(listed).parent.name
    return tuple(names)
