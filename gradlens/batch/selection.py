"""Selection: the rows of a batch that belong to a group, with their weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gradlens.batch.rows import Rows


@dataclass(frozen=True)
class Selection:
    """Some rows of a batch: their numbers [n] and, unless all are 1, their weights [n]."""

    index: Tensor
    weight: Tensor | None

    def take(self, tensor: Tensor) -> Tensor:
        """[B, ...] -> [n, ...]."""
        return tensor.index_select(0, self.index.to(tensor.device))

    def weighted(self, tensor: Tensor) -> Tensor:
        """[B, ...] -> [n, ...], every row times its weight."""
        taken = self.take(tensor)
        if self.weight is None:
            return taken
        weight = self.weight.to(taken.device).reshape(-1, *(1,) * (taken.ndim - 1))
        return taken * weight.to(torch.promote_types(taken.dtype, torch.float32))


def select(rows: Rows, group: int) -> Selection:
    """Returns the rows with mass in a group."""
    index = rows.index[group]
    weight = rows.weights[:, group].index_select(0, index)
    # Looking at the values would synchronise with any other device; a product with 1 is exact anyway.
    plain = weight.device.type == "cpu" and bool((weight == 1).all())
    return Selection(index, None if plain else weight)
