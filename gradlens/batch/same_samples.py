"""Says whether two backward passes of a step used the same samples. Such samples must count once.

A training may compute several losses in one forward pass, and run a backward pass for each. It may also accumulate gradients
over two batches. Equal labels do not tell these apart: two batches may have the same labels, by chance or because a script
reuses the tensor. So the autograd graph decides.

Two losses of one forward pass first meet in tensors with the rows of the batch: the model's output, or the features below two
heads. Two forward passes meet in parameters, or in tensors that are computed from parameters only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import mul
from typing import Self

import torch
from torch import Tensor

from gradlens.autograd.graph import Edge, Leaf, edge_of, walk
from gradlens.batch.rows import RowsByGroup

# At most so many edges of a graph are searched.
SEARCHED = 200_000


@dataclass(frozen=True)
class Samples:
    """The samples of a backward pass.

    Attributes:
        edges: The edges of the anchors in the graph. They keep the graph alive, but not the tensors that a finished backward
            pass has freed.
        labels: The labels of the anchors' rows.
        counts: [K] samples of each group.
    """

    edges: tuple[Edge, ...]
    labels: Tensor
    counts: tuple[float, ...]

    @classmethod
    def of(cls, anchors: Sequence[Tensor], labels: Tensor, rows: RowsByGroup) -> Self:
        """Returns the samples of a backward pass that is about to run."""
        return cls(tuple(edge_of(anchor) for anchor in anchors), labels.detach(), rows.counts)

    def same_as(self, earlier: Samples) -> bool:
        """Says whether these are the samples of an earlier pass.

        It compares labels, and waits for the device, only if everything else agrees.
        """
        if (
            self.labels.shape != earlier.labels.shape
            or self.labels.dtype != earlier.labels.dtype
            or self.counts != earlier.counts
        ):
            return False
        shared = _first_shared(self.edges, set(walk(earlier.edges, by_edge=True, most=SEARCHED)))
        if not shared or not all(_carries(edge, self.labels.shape[:1].numel()) for edge in shared):
            return False
        return torch.equal(self.labels, earlier.labels.to(self.labels))


def _first_shared(start: Sequence[Edge], known: set[Edge]) -> list[Edge]:
    return [edge for edge in walk(start, by_edge=True, ends=known, most=SEARCHED) if edge in known]


def _carries(edge: Edge, count: int) -> bool:
    """Says whether an edge belongs to a computed tensor (not a parameter) with ``count`` rows.

    The rows may be spread over several leading dimensions.
    """
    node, number = edge
    if type(node) is Leaf:
        return False
    known = getattr(node, "_input_metadata", ())
    return number < len(known) and count in accumulate(known[number].shape, mul)
