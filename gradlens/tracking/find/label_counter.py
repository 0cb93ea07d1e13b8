"""LabelCounter: counts the labels of backward passes, if no dataset tells the class counts."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Labels on a GPU are counted by a comparison with all classes, without a wait for the GPU, if the comparison has at most this
# many entries (64 MiB of booleans).
COMPARED = 2**26


class LabelCounter:
    """Counts labels on their own device, and on a GPU without a wait for it.

    Attributes:
        batches: Number of counted batches.
    """

    def __init__(self, num_classes: int) -> None:
        self._num_classes = num_classes
        self._sum: Tensor | None = None
        self.batches = 0

    def add(self, labels: Tensor) -> None:
        """Counts one batch.

        Args:
            labels: Class ids of any shape, or masses [B, C, ...]. Ids outside 0..C-1, such as ignored ones, do not count.
        """
        with torch.no_grad():
            counts = self._count(labels.detach())
        self._sum = counts if self._sum is None else self._sum + counts.to(self._sum.device)
        self.batches += 1

    def grow(self, num_classes: int) -> None:
        """Counts ``num_classes`` classes from now on, more than before."""
        more = num_classes - self._num_classes
        self._num_classes = num_classes
        if self._sum is not None:
            self._sum = torch.nn.functional.pad(self._sum, (0, more))

    def counts(self) -> NDArray[np.int64]:
        """Returns [C] counts so far; masses are rounded."""
        if self._sum is None:
            return np.zeros(self._num_classes, dtype=np.int64)
        counts: NDArray[np.int64] = np.rint(self._sum.cpu().numpy()).astype(np.int64)
        return counts

    def _count(self, labels: Tensor) -> Tensor:
        if labels.is_floating_point():
            dim = labels.ndim - 1 if labels.ndim <= 2 else 1
            return labels.movedim(dim, -1).reshape(-1, self._num_classes).double().sum(0)
        flat = labels.reshape(-1)
        if flat.device.type == "cpu" or flat.numel() * self._num_classes > COMPARED:
            known = flat[(flat >= 0) & (flat < self._num_classes)].cpu().long()
            return torch.bincount(known, minlength=self._num_classes).double()
        classes = torch.arange(self._num_classes, device=flat.device)
        return (flat[:, None] == classes).sum(0).double()
