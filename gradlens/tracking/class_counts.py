"""How many samples of each class a script trains on, read from its DataLoader's dataset without loading a sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset, SubsetRandomSampler

# Attributes under which datasets keep the labels of all samples, most usual first.
LABEL_ATTRIBUTES = ("targets", "labels", "_labels", "train_labels", "y", "label")
# Columns of Hugging Face datasets.
LABEL_COLUMNS = ("label", "labels", "fine_label", "target")

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class ClassCounts:
    """Class counts and where they were found.

    Attributes:
        counts: [C] samples of each class.
        source: Where they come from, for people: "CIFAR100.targets".
    """

    counts: NDArray[np.int64]
    source: str


def count_classes(loader: DataLoader[Any], num_classes: int) -> ClassCounts | None:
    """Returns the class counts of a loader's dataset, or None where its labels cannot be read at once.

    Args:
        loader: The loader of the training data.
        num_classes: C.
    """
    found = _labels_of(loader.dataset, num_classes)
    if found is None:
        return None
    labels, source = found
    chosen = _sampled(loader)
    if chosen is not None:
        labels, source = labels[chosen], f"{source}, sampled subset"
    return ClassCounts(np.bincount(labels, minlength=num_classes), source)


def _sampled(loader: DataLoader[Any]) -> Labels | None:
    """Which samples a loader draws, where its sampler leaves some out."""
    sampler: Any = loader.sampler
    inner = getattr(sampler, "sampler", sampler)  # a BatchSampler given as sampler
    if isinstance(inner, SubsetRandomSampler):
        return np.asarray(list(inner.indices), dtype=np.int64)
    return None


def _labels_of(dataset: Any, num_classes: int) -> tuple[Labels, str] | None:
    if isinstance(dataset, Subset):
        whole = _labels_of(dataset.dataset, num_classes)
        if whole is None:
            return None
        return whole[0][np.asarray(dataset.indices, dtype=np.int64)], f"Subset of {whole[1]}"
    if isinstance(dataset, ConcatDataset):
        parts = [_labels_of(part, num_classes) for part in dataset.datasets]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        return np.concatenate([labels for labels, _ in known]), " + ".join(dict.fromkeys(name for _, name in known))
    if isinstance(dataset, IterableDataset):
        return None
    return _own_labels(dataset, num_classes) or _labels_within(dataset, num_classes)


def _own_labels(dataset: Any, num_classes: int) -> tuple[Labels, str] | None:
    size = _length(dataset)
    if size is None:
        return None
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
            return labels, source
    return None


def _labels_within(dataset: Any, num_classes: int) -> tuple[Labels, str] | None:
    """Labels of a dataset that another one wraps one to one (a custom class around CIFAR100, say)."""
    size = _length(dataset)
    wrapped = [
        value for value in _attributes(dataset).values() if isinstance(value, Dataset) and _length(value) == size
    ]
    if size is None or len(wrapped) != 1:
        return None
    found = _labels_of(wrapped[0], num_classes)
    return None if found is None else (found[0], f"{type(dataset).__name__} around {found[1]}")


def _as_labels(read: Callable[[], Any], size: int, num_classes: int) -> Labels | None:
    """Class ids of ``size`` samples, or None where it is something else."""
    try:
        raw = read()
        values = raw.detach().cpu().numpy() if isinstance(raw, torch.Tensor) else np.asarray(raw)
    except Exception:  # whatever somebody's dataset raises: then its labels are counted as they pass
        return None
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or len(values) != size or not np.issubdtype(values.dtype, np.integer):
        return None
    labels = values.astype(np.int64)
    return labels if labels.size and labels.min() >= 0 and labels.max() < num_classes else None


def _attributes(dataset: Any) -> Mapping[str, Any]:
    # Not getattr: a dataset's __getattr__ may load files or delegate to what it wraps.
    return getattr(dataset, "__dict__", {})


def _length(dataset: Any) -> int | None:
    try:
        return len(dataset)
    except Exception:  # no length, or one that raises
        return None
