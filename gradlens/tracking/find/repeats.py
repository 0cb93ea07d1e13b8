"""Repeats: notices when a training without a loader uses the same labels again, as full-batch training does."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradlens.tracking.find.label_counter import LabelCounter

# Equal labels count as the same batch if two random batches would be equal with a smaller probability than this.
CHANCE = 1e-9


class Repeats:
    """Compares the labels of backward passes with the first ones.

    Attributes:
        alone: Whether only the first labels have come: one batch holds all of the data.
    """

    def __init__(self, first: Tensor, step: int, num_classes: int) -> None:
        """Keeps the first labels.

        Args:
            first: Labels of the first backward pass.
            step: Number of its training step.
            num_classes: C, the number of classes.
        """
        self._first = first.detach().clone()  # a copy: a script may write the next labels into the same tensor
        self._last, self._num_classes = step, num_classes
        self._in_a_row = 0
        self.alone = True

    def again(self, labels: Tensor, step: int) -> bool:
        """Says whether the first labels have come again in another step. One step may differentiate several losses.

        Args:
            labels: Labels of this backward pass.
            step: Number of its training step.
        """
        first = self._first
        if (
            labels.shape != first.shape
            or labels.dtype != first.dtype
            or labels.device != first.device
            or not torch.equal(labels, first)
        ):
            self.alone = False
            return False
        if step <= self._last:
            return False
        self._last = step
        self._in_a_row += 1
        times = self._in_a_row if self.alone else 1
        return bool(self._chance() ** times < CHANCE)

    def counts(self) -> NDArray[np.int64]:
        """Returns [C] counts of the first labels."""
        counter = LabelCounter(self._num_classes)
        counter.add(self._first)
        return counter.counts()

    def _chance(self) -> float:
        """Returns the probability that two random batches with these class frequencies have equal labels."""
        counts = self.counts()
        total = counts.sum()
        return float((np.square(counts / total).sum()) ** total) if total else 1.0
