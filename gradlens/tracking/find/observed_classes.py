"""Finds the number of classes if a script names outputs and labels itself: from the graph, the data or the labels.

The width of the outputs is not used: they may be embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader

from gradlens.class_ids import MOST_CLASSES, GroupsError
from gradlens.groups import ClassGroups
from gradlens.tracking.find.chunked_loss import classes_of_chunked
from gradlens.tracking.find.class_counts import count_classes
from gradlens.tracking.find.drawn_samples import DrawnSamples
from gradlens.tracking.find.evidence import class_count
from gradlens.tracking.find.group_choice import needs_counts
from gradlens.tracking.find.group_search import fits, may_be
from gradlens.tracking.find.loss_calls import LossNode
from gradlens.tracking.options import TrackOptions


@dataclass(frozen=True)
class Classes:
    """The number of classes of a run.

    Attributes:
        number: C.
        known: Whether C is final. If not, it is the number of classes that the labels so far need.
    """

    number: int
    known: bool = True


def told_by_graph(roots: Sequence[Tensor], found: Sequence[LossNode], labels: Tensor) -> int | None:
    """Returns C of the loss call in the graph that was given these labels, or of a chunked loss; None if there is none.

    Args:
        roots: The tensors that the script differentiates.
        found: The loss calls in their graph.
        labels: The labels that the script has named.
    """
    if labels.is_floating_point():
        return None
    for item in found:
        given = item.call.labels
        if given is labels or (given.shape == labels.shape and bool(given.equal(labels))):
            return class_count(item.call)
    return classes_of_chunked(roots)


def told_by_data(
    options: TrackOptions, loaders: Sequence[tuple[DataLoader[Any], DrawnSamples]], labels: Tensor
) -> Classes:
    """Returns C for class ids, from the dataset and the groups in the options, or else from the labels themselves.

    Args:
        options: The options of the command line.
        loaders: Loaders that may train, each with the samples that were drawn from it.
        labels: Class ids of the first batch.
    """
    largest = int(labels.max()) + 1 if labels.numel() else 1
    asked = max(largest, _asked(options), 2)
    for loader, drawn in loaders:
        found = count_classes(loader, MOST_CLASSES, partial(may_be, labels, drawn))
        if found is not None and fits(found, labels):
            return Classes(max(asked, int(np.flatnonzero(found.counts)[-1]) + 1))
    return Classes(asked, known=False)


def _asked(options: TrackOptions) -> int:
    """Returns the number of classes that the groups in the options need; 0 if they need none."""
    if options.groups_from is not None:
        return int(str(options.groups_from.get("num_classes", 0)))
    if needs_counts(options) or options.groups == "per-class":
        return 0
    try:
        return max(ids[-1] for ids in ClassGroups.parse(str(options.groups), MOST_CLASSES).classes) + 1
    except GroupsError:
        return 0  # the error is told when the groups are made
