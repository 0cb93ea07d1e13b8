"""Observed: keeps the tensors that a script names with ``gradlens.observe``, until their backward pass comes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from gradlens.autograd.graph import Node, edge_of, walk
from gradlens.tracking.find.loss_calls import all_nodes

# Tensors of at most this many graphs are kept. Older graphs are evaluations, which have no backward pass.
GRAPHS = 4


class Observed:
    """Keeps (outputs, labels) pairs: all pairs of a graph (chunks, time steps), and the latest few graphs."""

    def __init__(self) -> None:
        self._graphs: list[tuple[set[Any], list[tuple[Tensor, Tensor]]]] = []

    def add(self, outputs: Tensor, labels: Tensor) -> None:
        """Keeps a pair."""
        known = self._graphs[-1][0] if self._graphs else set()
        fresh, shared = _computed(outputs, known)
        if not shared:
            self._graphs = [*self._graphs[1 - GRAPHS :], (set(), [])]
        self._graphs[-1][0].update(fresh)
        self._graphs[-1][1].append((outputs, labels))

    def take(self, roots: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Returns the pairs whose outputs are in the graph of ``roots``; if there are none, the last pair. Forgets all pairs."""
        pairs = [pair for _, found in self._graphs for pair in found]
        self._graphs = []
        if len(pairs) < 2:
            return pairs
        reached = set(all_nodes(roots))
        return [pair for pair in pairs if pair[0].grad_fn in reached] or pairs[-1:]

    def forget(self) -> None:
        """Forgets all pairs."""
        self._graphs = []


def _computed(outputs: Tensor, known: set[Node]) -> tuple[set[Node], bool]:
    """Returns the nodes that compute ``outputs``, as far as the known ones, and whether there are known ones among them."""
    seen = set(walk([edge_of(outputs)], ends=known, leaves=False))
    return seen, not seen.isdisjoint(known)
