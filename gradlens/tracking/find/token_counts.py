"""Counts the tokens of a data set that holds a row of token ids for each sample, if the training's own labels agree with it.

Token ids of a language model are usually both its inputs and, moved by one place, its labels. So a column is taken only if the
labels of a batch have, class by class, as many tokens as the drawn rows of the column: all of them, or all but the first of each
row, which nothing predicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from gradlens.tracking.find.class_counts import LABEL_ATTRIBUTES, ClassCounts
from gradlens.tracking.find.drawn_samples import DrawnSamples

# Columns and attributes that hold token ids, the surest first.
TOKENS = (*LABEL_ATTRIBUTES, "input_ids")
# Data sets with more tokens are not counted: they are counted as they pass, for a while. Lists take longer than arrays.
MOST, MOST_IN_LISTS = 20_000_000, 2_000_000

Ids = NDArray[np.int64]


def count_tokens(
    loader: DataLoader[Any], drawn: DrawnSamples, labels: Tensor, num_classes: int, ignored: int
) -> ClassCounts | None:
    """Returns how often each token is a label in a pass over the data; None if that cannot be told for certain.

    Args:
        loader: The loader of the training data.
        drawn: The samples that were drawn from its dataset.
        labels: The labels of a batch, of any shape.
        num_classes: C, the size of the vocabulary.
        ignored: The label that the loss ignores.
    """
    if labels.is_floating_point() or not len(drawn) or not drawn.complete or not _draws_all(loader):
        return None
    trained = _counted([labels.detach().cpu().numpy().reshape(-1)], num_classes, ignored)
    for rows, source in _rows_of(loader.dataset):
        for at in drawn.indices(len(rows)):
            first = _first_left_out([rows[int(i)] for i in at], trained, num_classes, ignored)
            if first is not None:
                return ClassCounts(_counted([row[first:] for row in rows], num_classes, ignored), source)
    return None


def _first_left_out(rows: Sequence[Ids], trained: Ids, num_classes: int, ignored: int) -> int | None:
    """Returns how many tokens at the beginning of each row are no labels, 0 or 1; None if the labels are others."""
    for first in (0, 1):
        if np.array_equal(_counted([row[first:] for row in rows], num_classes, ignored), trained):
            return first
    return None


def _counted(rows: Sequence[Ids], num_classes: int, ignored: int) -> Ids:
    ids = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64)
    ids = ids[(ids >= 0) & (ids < num_classes) & (ids != ignored)]
    return np.bincount(ids, minlength=num_classes)


def _draws_all(loader: DataLoader[Any]) -> bool:
    """Says whether a pass draws each sample once, as torch's own samplers of whole data sets do."""
    try:
        return len(loader.sampler) == len(loader.dataset)  # type: ignore[arg-type]
    except Exception:  # a stream, or a sampler of the script
        return False


def _rows_of(dataset: Any) -> Iterator[tuple[Sequence[Ids], str]]:
    """Yields the rows of token ids of all samples, with their sources."""
    if isinstance(dataset, Subset):
        for rows, source in _rows_of(dataset.dataset):
            yield [rows[int(i)] for i in dataset.indices], f"Subset of {source}"
        return
    name = type(dataset).__name__
    own = getattr(dataset, "__dict__", {})  # not getattr: a dataset's __getattr__ may load files
    readers: list[tuple[str, Callable[[], Any]]] = [
        (f"{name}.{each}", lambda each=each: own[each])  # type: ignore[misc]
        for each in TOKENS
        if each in own
    ]
    tensors = own.get("tensors")
    if isinstance(tensors, Sequence):
        readers += [(f"{name}.tensors[{n}]", lambda n=n: tensors[n]) for n in reversed(range(len(tensors)))]  # type: ignore[misc]
    if getattr(type(dataset), "column_names", None) is not None:
        known = [each for each in TOKENS if each in dataset.column_names]
        readers += [(f"column {each!r}", lambda each=each: dataset[each]) for each in known]  # type: ignore[misc]
    for source, read in readers:
        found = _as_rows(read, dataset)
        if found is not None:
            yield found, source


def _as_rows(read: Callable[[], Any], dataset: Any) -> Sequence[Ids] | None:
    """Returns a row of token ids for each sample, or None if ``read`` returns something else."""
    try:
        raw, size = read(), len(dataset)
        if isinstance(raw, Tensor | np.ndarray):
            table = raw.detach().cpu().numpy() if isinstance(raw, torch.Tensor) else raw
            if table.ndim != 2 or len(table) != size or table.size > MOST or not np.issubdtype(table.dtype, np.integer):
                return None
            return list(table.astype(np.int64))
        if len(raw) != size or not size or len(raw[0]) * size > MOST_IN_LISTS:
            return None
        rows = [np.asarray(row) for row in raw]
    except Exception:  # a dataset of the script may raise anything; then tokens are counted during the training
        return None
    if any(row.ndim != 1 or not np.issubdtype(row.dtype, np.integer) for row in rows):
        return None
    return [row.astype(np.int64) for row in rows]
