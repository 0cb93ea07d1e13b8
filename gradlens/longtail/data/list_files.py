"""Reads the list files of the large long-tailed data sets. Their lines are "relative/path label"."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from gradlens.longtail.errors import DatasetNotFoundError, LongTailError

# Maps a path in the list to the paths of the same image in other packagings of the data set.
Layouts = Callable[[str], Iterable[str]]


@dataclass(frozen=True)
class Listed:
    """The images of a list file.

    Attributes:
        files: [N] paths of the existing images.
        labels: [N] labels in the list.
        listed: [N] paths in the list. They do not depend on the layout in which the images are stored.
    """

    files: tuple[Path, ...]
    labels: NDArray[np.int64]
    listed: tuple[str, ...]

    def at(self, rows: NDArray[np.int64]) -> Listed:
        """Returns the images at [n] rows."""
        return Listed(tuple(self.files[i] for i in rows), self.labels[rows], tuple(self.listed[i] for i in rows))


def read_list(path: Path, root: Path, layouts: Layouts | None = None) -> Listed:
    """Reads a list file and finds its images.

    Args:
        path: The list file.
        root: Folder that the paths in the list are relative to.
        layouts: Returns other paths of an image, which are tried if it is not at its listed path.

    Raises:
        DatasetNotFoundError: The list or images do not exist. The message says how many are missing and names the first.
        LongTailError: The file cannot be read, has a line of another form, or lists no image.
    """
    if not path.is_file():
        raise DatasetNotFoundError(f"the list {path} does not exist")
    files: list[Path] = []
    labels: list[int] = []
    paths: list[str] = []
    missing: list[str] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LongTailError(f"{path} cannot be read as a list of images ({error}); download it again") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        listed, _, label = line.strip().rpartition(" ")
        if not listed or not label.isdigit():
            raise LongTailError(f"line {number} of {path} is {line[:80]!r}; needed is 'relative/path label'")
        found = _find(root, listed.strip(), layouts)
        if found is None:
            missing.append(listed.strip())
            continue
        files.append(found)
        labels.append(int(label))
        paths.append(listed.strip())
    if missing:
        raise DatasetNotFoundError(
            f"{len(missing)} of {len(missing) + len(files)} images of {path.name} are not below {root}, the first is "
            f"{missing[0]}; unpack the images there or give the folder that holds them"
        )
    if not files:
        raise LongTailError(f"{path} lists no image")
    return Listed(tuple(files), np.array(labels, dtype=np.int64), tuple(paths))


def _find(root: Path, listed: str, layouts: Layouts | None) -> Path | None:
    for candidate in (listed, *(layouts(listed) if layouts is not None else ())):
        path = root / candidate
        if path.is_file():
            return path
    return None


def places_layouts(listed: str) -> list[str]:
    """Returns other paths of an image in the layouts of Places365: ``data_256/a/airfield/x.jpg``, ``train/airfield/x.jpg``.

    A category inside another one is a folder in the first layout, and joined with "-" in the second
    (``data_256/a/apartment_building/outdoor``, ``train/apartment_building-outdoor``). Validation images lie in
    ``val_256/`` or ``val/``, all in one folder or in folders by category.
    """
    first, *rest = PurePosixPath(listed).parts
    if not rest:
        return []
    name = rest[-1]
    if first == "data_256" and len(rest) >= 3:
        category = rest[1:-1]
        return [f"train/{'/'.join(category)}/{name}", f"train/{'-'.join(category)}/{name}"]
    if first == "train" and len(rest) >= 2:
        joined = "/".join(rest[:-1])
        letter = joined[0]
        return [
            f"data_256/{letter}/{joined}/{name}",
            f"data_256/{letter}/{joined.replace('-', '/')}/{name}",
        ]
    if first in ("val", "val_256", "test", "test_256"):
        stem = first.removesuffix("_256")
        tail = "/".join(rest)
        # The validation and the test split of Places-LT are both taken from the validation images of Places365.
        return [f"{folder}/{end}" for folder in (stem, f"{stem}_256", "val", "val_256") for end in (tail, name)]
    return []


def imagenet_layouts(listed: str) -> list[str]:
    """Returns the other path of an ImageNet validation image: ``val/x.JPEG`` instead of ``val/n01440764/x.JPEG``."""
    parts = PurePosixPath(listed).parts
    return [f"val/{parts[-1]}"] if parts[0] == "val" and len(parts) > 2 else []
