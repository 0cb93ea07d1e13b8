"""Selection: the rows of a batch that belong to one group, and their weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gradlens.batch.rows import RowsByGroup


@dataclass(frozen=True)
class Selection:
    """Some rows of a batch.

    Attributes:
        index: [n] indices of the rows.
        weight: [n] the part of each row that counts; None: all of each row.
    """

    index: Tensor
    weight: Tensor | None

    def take(self, tensor: Tensor) -> Tensor:
        """Returns the rows [n, ...] of a tensor [B, ...]."""
        return tensor.index_select(0, self.index.to(tensor.device))

    def weighted(self, tensor: Tensor) -> Tensor:
        """Returns the rows [n, ...] of a tensor [B, ...], each times its weight."""
        taken = self.take(tensor)
        if self.weight is None:
            return taken
        weight = self.weight.to(taken.device).reshape(-1, *(1,) * (taken.ndim - 1))
        return taken * weight.to(torch.promote_types(taken.dtype, torch.float32))


def select(rows: RowsByGroup, group: int) -> Selection:
    """Returns the rows that belong to a group, wholly or in part."""
    index = rows.index[group]
    if rows.whole:
        return Selection(index, None)
    weight = rows.weights[:, group].index_select(0, index)
    # On another device, reading the values would wait for it. There the weights stay: a product with 1 is exact.
    plain = weight.device.type == "cpu" and bool((weight == 1).all())
    return Selection(index, None if plain else weight)
