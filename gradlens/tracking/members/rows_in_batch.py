"""Finds which samples of a batch the rows of a loss are, by the labels of both."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def values_of_rows(labels: Tensor, source: Tensor, values: Tensor) -> Tensor | None:
    """Returns the values of the samples that have the rows of a loss; None if that is not certain.

    The rows may be the whole batch, a part of it (chunks), or the batch several times (views). If several of these fit, they
    must lead to the same values.

    Args:
        labels: [n, ...] labels that a loss was given.
        source: [m, ...] labels in a batch.
        values: [m] values of the batch's samples.
    """
    if labels.shape[1:] != source.shape[1:] or labels.ndim == 0 or not len(labels) or not len(source):
        return None
    if (own := _slice_of(labels, source)) is not None:
        return values[own]
    mine, theirs = labels.detach().cpu(), source.detach().cpu()
    if mine.is_floating_point() != theirs.is_floating_point():
        return None
    found: Tensor | None = None
    for index in _places(mine.to(torch.float64), theirs.to(torch.float64)):
        chosen = values[index]
        if found is not None and not torch.equal(found, chosen):
            return None
        found = chosen
    return found


def _slice_of(part: Tensor, whole: Tensor) -> slice | None:
    """Returns which rows of ``whole`` a tensor is, if it shows its memory; otherwise None."""
    alike = (part.dtype, part.device, part.stride()) == (whole.dtype, whole.device, whole.stride())
    if not alike or part.untyped_storage().data_ptr() != whole.untyped_storage().data_ptr():
        return None
    first, beyond = divmod(int(part.storage_offset() - whole.storage_offset()), max(whole.stride(0), 1))
    inside = not beyond and 0 <= first <= len(whole) - len(part)
    return slice(first, first + len(part)) if inside else None


def _places(rows: Tensor, batch: Tensor) -> Iterator[Tensor]:
    """Yields the indices of the samples that the rows may be."""
    n, m = len(rows), len(batch)
    everything = torch.arange(m)
    if n <= m:
        for at in range(m - n + 1):
            if torch.equal(rows, batch[at : at + n]):
                yield everything[at : at + n]
    elif n % m == 0:
        for index in (everything.repeat(n // m), everything.repeat_interleave(n // m)):
            if torch.equal(rows, batch[index]):
                yield index
