"""Observed: what a script names with ``gradlens.observe``, until the backward pass comes that it is about."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader

from gradlens.groups import MOST_CLASSES, ClassGroups, GroupsError
from gradlens.tracking.find.class_counts import count_classes
from gradlens.tracking.find.drawn_samples import Drawn
from gradlens.tracking.find.group_choice import needs_counts
from gradlens.tracking.find.group_search import fits, may_be
from gradlens.tracking.find.sightings import nodes
from gradlens.tracking.options import TrackOptions

# Graphs whose tensors are kept until a backward pass comes; more are evaluations that nobody differentiates.
GRAPHS = 4


class Observed:
    """Keeps (outputs, labels) pairs: any number of one graph (chunks, time steps), and those of the latest few graphs."""

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
        """Returns the pairs that a backward pass reaches, and forgets all; the last pair where it reaches none."""
        pairs = [pair for _, found in self._graphs for pair in found]
        self._graphs = []
        if len(pairs) < 2:
            return pairs
        reached = set(nodes(list(roots), below_sightings=True))
        return [pair for pair in pairs if pair[0].grad_fn in reached] or pairs[-1:]

    def forget(self) -> None:
        """Drops everything."""
        self._graphs = []


def classes_of(
    options: TrackOptions, loaders: Sequence[tuple[DataLoader[Any], Drawn]], outputs: Tensor, labels: Tensor
) -> int:
    """Returns C of class ids that a script named: what its data and the groups asked for hold, not the width of ``outputs``.

    Where the data tell nothing, the width is an upper bound: outputs without data belong to no group.
    """
    largest = int(labels.max()) + 1 if labels.numel() else 1
    asked = max(largest, _asked(options), 2)
    for loader, drawn in loaders:
        found = count_classes(loader, MOST_CLASSES, partial(may_be, labels, drawn))
        if found is not None and fits(found, labels):
            return max(asked, int(np.flatnonzero(found.counts)[-1]) + 1)
    return max(asked, int(outputs.shape[1]) if outputs.ndim > 1 else 0)


def _asked(options: TrackOptions) -> int:
    """Returns the number of classes that the groups asked for need."""
    if options.groups_from is not None:
        return int(str(options.groups_from.get("num_classes", 0)))
    if needs_counts(options) or options.groups == "per-class":
        return 0
    try:
        return max(ids[-1] for ids in ClassGroups.parse(str(options.groups), MOST_CLASSES).classes) + 1
    except GroupsError:
        return 0  # said when the groups are made


def _computed(outputs: Tensor, known: set[Any]) -> tuple[set[Any], bool]:
    """Returns the nodes that compute ``outputs`` and are not known, and whether some are known."""
    start: Any = outputs.grad_fn
    waiting, seen, shared = [start], {start}, False
    while waiting:
        node = waiting.pop()
        if node in known:
            shared = True
            continue
        for child, _ in node.next_functions:
            if child is not None and child not in seen and not hasattr(child, "variable"):
                seen.add(child)
                waiting.append(child)
    return seen, shared
