"""Reads CIFAR-100 and CIFAR-10 as tensors, from torchvision's download or from Parquet files."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from gradlens.longtail.data.image_set import ImageSet
from gradlens.longtail.data.subset import Subset, balanced_subset, long_tailed_subset
from gradlens.longtail.errors import DatasetNotFoundError, LongTailError

Name = Literal["cifar100", "cifar10"]
ENVIRONMENT = "GRADLENS_DATA"

# The literature normalises CIFAR-100-LT with the constants of CIFAR-10 (LDAM-DRW and the works after it).
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2023, 0.1994, 0.2010)

_LABEL_COLUMN = {"cifar100": "fine_label", "cifar10": "label"}
_CLASSES = {"cifar100": 100, "cifar10": 10}
_TORCHVISION_CLASS = {"cifar100": "CIFAR100", "cifar10": "CIFAR10"}
_TORCHVISION_FOLDER = {"cifar100": "cifar-100-python", "cifar10": "cifar-10-batches-py"}


@dataclass(frozen=True)
class CifarSplit:
    """A split whose images are decoded only when they are needed. A long-tailed subset needs a fifth of them.

    Attributes:
        labels: [N] int64 class ids, in file order.
        class_names: [C] names, in label order.
        decode: Maps positions [n] to images [n, 32, 32, 3] uint8.
    """

    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    decode: Callable[[NDArray[np.int64]], NDArray[np.uint8]]

    def image_set(self, subset: Subset | None = None) -> ImageSet:
        """Returns the images of a subset; of the whole split if ``subset`` is None."""
        positions = np.arange(len(self.labels)) if subset is None else subset.indices
        images = torch.from_numpy(self.decode(positions)).permute(0, 3, 1, 2).contiguous()
        return ImageSet(
            images, torch.from_numpy(self.labels[positions]), self.class_names, subset.digest if subset else ""
        )


@dataclass(frozen=True)
class Cifar:
    """The two splits, and a text that says where they came from."""

    train: CifarSplit
    test: CifarSplit
    source: str

    def long_tailed(self, imbalance: float, seed: int = 0) -> ImageSet:
        """Returns CIFAR-LT with an imbalance factor. Seed 0 gives the subset that the literature uses."""
        return self.train.image_set(long_tailed_subset(self.train.labels, imbalance, seed))

    def balanced(self, total: int, seed: int = 0) -> ImageSet:
        """Returns a balanced training set of ``total`` images."""
        return self.train.image_set(balanced_subset(self.train.labels, total, seed))


def load_cifar(root: Path | str | None = None, name: Name = "cifar100", cache: Path | str | None = None) -> Cifar:
    """Opens CIFAR-100 or CIFAR-10.

    Args:
        root: Folder with the data: torchvision's download, or Parquet files ``train-*.parquet`` and ``test-*.parquet``
            with the columns of ``uoft-cs/cifar100``, directly or in a folder ``cifar100``. None = ``$GRADLENS_DATA``,
            then ``./data``.
        name: "cifar100" or "cifar10".
        cache: Folder for the decoded images of Parquet files (184 MB), which saves about 12 s the next time; None = no
            cache.

    Raises:
        DatasetNotFoundError: The data was not found. The message says where it was looked for and how to get it.
        LongTailError: The files do not hold what their names say.
    """
    folders = _folders(root, name)
    for folder in folders:
        if (folder / _TORCHVISION_FOLDER[name]).is_dir():
            return _from_torchvision(folder, name)
        train, test = sorted(folder.glob("train-*.parquet")), sorted(folder.glob("test-*.parquet"))
        if train and test:
            keep = Path(cache) if cache is not None else None
            return Cifar(
                _from_parquet(train, name, keep), _from_parquet(test, name, keep), f"Parquet files in {folder}"
            )
    looked = "\n".join(f"  {folder.absolute()}" for folder in folders)
    download = f"torchvision.datasets.{_TORCHVISION_CLASS[name]}('./data', download=True)"
    raise DatasetNotFoundError(
        f"{name} not found. Looked for {_TORCHVISION_FOLDER[name]}/ or train-*.parquet, test-*.parquet in\n{looked}\n"
        f'Get it with: python -c "import torchvision; {download}"\n'
        f"or put the Parquet files of uoft-cs/{name} there. "
        f"If the data lies in another folder, give it with --data or {ENVIRONMENT}."
    )


def _folders(root: Path | str | None, name: Name) -> list[Path]:
    """Returns the folders to look in. If ``root`` is given, only folders there, so that a typing error is noticed."""
    given = os.environ.get(ENVIRONMENT)
    bases = [Path(root)] if root is not None else [*([Path(given)] if given else []), Path("data")]
    # If torchvision's own folder is given, the folder that holds it is meant.
    bases = [base.parent if base.name == _TORCHVISION_FOLDER[name] else base for base in bases]
    return [folder for base in bases for folder in (base, base / name)]


def _from_torchvision(folder: Path, name: Name) -> Cifar:
    import torchvision

    kind = getattr(torchvision.datasets, _TORCHVISION_CLASS[name])
    try:
        # torchvision checks checksums before it reads, so only the published files are unpickled.
        train, test = kind(str(folder), train=True), kind(str(folder), train=False)
    except RuntimeError as error:
        raise LongTailError(
            f"{folder / _TORCHVISION_FOLDER[name]} is incomplete or damaged ({error}); delete it and download it "
            f"again with torchvision.datasets.{_TORCHVISION_CLASS[name]}({str(folder)!r}, download=True)"
        ) from error
    return Cifar(_in_memory(train), _in_memory(test), f"torchvision's files in {folder}")


def _in_memory(dataset: Any) -> CifarSplit:
    images: NDArray[np.uint8] = np.asarray(dataset.data, dtype=np.uint8)
    return CifarSplit(
        np.asarray(dataset.targets, dtype=np.int64), tuple(dataset.classes), lambda positions: images[positions]
    )


def _from_parquet(paths: Sequence[Path], name: Name, cache: Path | None) -> CifarSplit:
    label = _LABEL_COLUMN[name]
    table = pa.concat_tables([_read_columns(path, label, _CLASSES[name]) for path in paths])
    encoded = pa.chunked_array([chunk.field("bytes") for chunk in table["img"].chunks])
    labels = table[label].to_numpy().astype(np.int64)
    names = _class_names(table.schema, label) or tuple(str(c) for c in range(int(labels.max()) + 1))

    def decode(positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        if cache is None:
            return _decode_png(encoded, positions, paths)
        stored = _cache_file(cache, paths)
        if not stored.exists():
            _store(stored, _decode_png(encoded, np.arange(len(labels)), paths))
        return np.asarray(np.load(stored, mmap_mode="r")[positions])

    return CifarSplit(labels, names, decode)


def _read_columns(path: Path, label: str, classes: int) -> pa.Table:
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise LongTailError(f"{path} cannot be read as Parquet ({error}); download it again") from error
    has_bytes = (
        "img" in schema.names
        and pa.types.is_struct(schema.field("img").type)
        and "bytes" in [f.name for f in schema.field("img").type]
    )
    if not has_bytes or label not in schema.names or not pa.types.is_integer(schema.field(label).type):
        columns = ", ".join(f"{field.name}: {field.type}" for field in schema)
        raise LongTailError(
            f"{path} has the columns ({columns}); needed are img: struct<bytes, path> and {label}: int64"
        )
    table = pq.read_table(path, columns=["img", label])
    _require_class_ids(path, label, table[label], classes)
    return table


def _require_class_ids(path: Path, label: str, column: pa.ChunkedArray, classes: int) -> None:
    """Checks that every image has a label in 0..classes-1. A wrong label would train another class unnoticed."""
    needed = f"needed is a class id from 0 to {classes - 1} for each image; download it again"
    if column.null_count or not len(column):
        raise LongTailError(f"{path} has {column.null_count} nulls in its {len(column)} rows of {label}; {needed}")
    labels = column.to_numpy()
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        raise LongTailError(f"{path} has the {label} {labels[wrong[0]]} in row {wrong[0]}; {needed}")


def _class_names(schema: pa.Schema, label: str) -> tuple[str, ...]:
    """Returns the class names in the schema metadata of a file of the package `datasets`; () if there are none."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return tuple(str(name) for name in features[label]["names"])
    except (KeyError, TypeError, ValueError):
        return ()


def _decode_png(encoded: pa.ChunkedArray, positions: NDArray[np.int64], paths: Sequence[Path]) -> NDArray[np.uint8]:
    """Returns the images at [n] positions, [n, 32, 32, 3] uint8.

    This takes about 0.2 ms per image. Threads do not help with images this small.
    """
    from PIL import Image, UnidentifiedImageError

    images = np.empty((len(positions), 32, 32, 3), dtype=np.uint8)
    for row, (position, data) in enumerate(zip(positions, encoded.take(pa.array(positions)).to_pylist(), strict=True)):
        try:
            images[row] = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        except (UnidentifiedImageError, OSError, ValueError, TypeError) as error:
            raise LongTailError(
                f"image {position} of {paths[0].parent} is not a 32 x 32 picture ({error}); download the files again"
            ) from error
    return images


def _cache_file(folder: Path, paths: Sequence[Path]) -> Path:
    """Returns the path of the cache. It depends on the files' names, sizes and times, so changed files are decoded anew."""
    text = ";".join(f"{path.resolve()},{path.stat().st_size},{path.stat().st_mtime_ns}" for path in paths)
    return folder / f"{paths[0].name.split('-')[0]}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.npy"


def _store(target: Path, images: NDArray[np.uint8]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.save(file, images)
    partial.replace(target)
