"""Counts the samples of each class in the dataset of a script's DataLoader, without loading a sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset, SubsetRandomSampler

# Attributes under which datasets keep the labels of all samples, most usual first.
LABEL_ATTRIBUTES = ("targets", "labels", "_labels", "train_labels", "y", "label")
# Columns of Hugging Face datasets.
LABEL_COLUMNS = ("label", "labels", "fine_label", "target")

# At most this many ways to read the labels of joined datasets are tried.
COMBINATIONS = 16

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class ClassCounts:
    """Class counts, and where they were found.

    Attributes:
        counts: [C] samples of each class.
        source: Where they were found, as text for the user: "CIFAR100.targets".
    """

    counts: NDArray[np.int64]
    source: str


def count_classes(
    loader: DataLoader[Any], num_classes: int, agrees: Callable[[Labels], bool] = lambda _: True
) -> ClassCounts | None:
    """Returns the class counts of a loader's dataset; None if its labels cannot be read without loading samples.

    Args:
        loader: The loader of the training data.
        num_classes: C, the number of classes.
        agrees: Is given the [N] class ids of the dataset. Says whether they may be the labels that the script trains on.
    """
    for labels, source in labels_of(loader.dataset, num_classes):
        if not agrees(labels):
            continue
        chosen = _sampled(loader)
        if chosen is not None:
            labels, source = labels[chosen], f"{source}, sampled subset"
        elif _leaves_out(loader, len(labels)):
            return None
        return ClassCounts(np.bincount(labels, minlength=num_classes), source)
    return None


def _sampled(loader: DataLoader[Any]) -> Labels | None:
    """Returns the indices of the samples that a loader draws, if its sampler has a list of them; otherwise None."""
    sampler: Any = loader.sampler
    inner = getattr(sampler, "sampler", sampler)  # a BatchSampler given as sampler
    if isinstance(inner, SubsetRandomSampler):
        return np.asarray(list(inner.indices), dtype=np.int64)
    return None


def _leaves_out(loader: DataLoader[Any], size: int) -> bool:
    """Says whether the script's own sampler draws fewer samples than there are. Which ones, is not known."""
    sampler = loader.sampler
    drawn = _length(sampler)
    return not type(sampler).__module__.startswith("torch.") and drawn is not None and drawn < size


def labels_of(dataset: Any, num_classes: int) -> Iterator[tuple[Labels, str]]:
    """Yields arrays that may be the labels of all samples, with their sources, the most usual first.

    Args:
        dataset: The dataset.
        num_classes: Arrays with a class id of this or more are left out.
    """
    if isinstance(dataset, Subset):
        for labels, source in labels_of(dataset.dataset, num_classes):
            yield labels[np.asarray(dataset.indices, dtype=np.int64)], f"Subset of {source}"
    elif isinstance(dataset, ConcatDataset):
        # Each part may have several ways to be read, so there may be very many combinations. Not all are tried.
        ways = product(*(list(labels_of(part, num_classes)) for part in dataset.datasets))
        for parts in islice(ways, COMBINATIONS):
            yield np.concatenate([labels for labels, _ in parts]), " + ".join(dict.fromkeys(name for _, name in parts))
    elif not isinstance(dataset, IterableDataset):
        yield from _own_labels(dataset, num_classes)
        yield from _labels_within(dataset, num_classes)


def _own_labels(dataset: Any, num_classes: int) -> Iterator[tuple[Labels, str]]:
    size = _length(dataset)
    if size is None:
        return
    name = type(dataset).__name__
    readers: list[tuple[str, Callable[[], Any]]] = [
        (f"{name}.{attribute}", lambda attribute=attribute: vars(dataset)[attribute])  # type: ignore[misc]
        for attribute in LABEL_ATTRIBUTES
        if attribute in _attributes(dataset)
    ]
    tensors = _attributes(dataset).get("tensors")
    if isinstance(tensors, Sequence):
        readers += [(f"{name}.tensors[{n}]", lambda n=n: tensors[n]) for n in reversed(range(len(tensors)))]  # type: ignore[misc]
    samples = _attributes(dataset).get("samples")
    if isinstance(samples, Sequence):
        readers.append((f"{name}.samples", lambda: [sample[1] for sample in samples]))
    columns = getattr(type(dataset), "column_names", None)
    if columns is not None:
        known = [column for column in LABEL_COLUMNS if column in dataset.column_names]
        readers += [(f"column {column!r}", lambda column=column: dataset[column]) for column in known]  # type: ignore[misc]
    for source, read in readers:
        labels = _as_labels(read, size, num_classes)
        if labels is not None:
            yield labels, source


def _labels_within(dataset: Any, num_classes: int) -> Iterator[tuple[Labels, str]]:
    """Yields the labels of a dataset inside this one, if it has as many samples (CIFAR100 inside a class of the script)."""
    size = _length(dataset)
    wrapped = [
        value for value in _attributes(dataset).values() if isinstance(value, Dataset) and _length(value) == size
    ]
    if size is not None and len(wrapped) == 1:
        for labels, source in labels_of(wrapped[0], num_classes):
            yield labels, f"{type(dataset).__name__} around {source}"


def _as_labels(read: Callable[[], Any], size: int, num_classes: int) -> Labels | None:
    """Returns [``size``] class ids, or None if ``read`` returns something else."""
    try:
        raw = read()
        values = raw.detach().cpu().numpy() if isinstance(raw, torch.Tensor) else np.asarray(raw)
    except Exception:  # a dataset of the script may raise anything; then labels are counted during the training
        return None
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or len(values) != size or not np.issubdtype(values.dtype, np.integer):
        return None
    labels = values.astype(np.int64)
    return labels if labels.size and labels.min() >= 0 and labels.max() < num_classes else None


def _attributes(dataset: Any) -> Mapping[str, Any]:
    # __dict__ and not getattr: a dataset's __getattr__ may load files, or answer for the dataset that it wraps.
    return getattr(dataset, "__dict__", {})


def _length(dataset: Any) -> int | None:
    try:
        return len(dataset)
    except Exception:  # it has no length, or __len__ raises an error
        return None
