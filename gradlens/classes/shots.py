"""Head and tail by the paper's rule, and many-, medium- and few-shot classes: by the number of images of each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlens.class_ids import GroupsError, checked_counts

# Many-shot classes have more than 100 images, few-shot classes fewer than 20 (Kang et al. 2020; the same in SADE, LIFT and PaCo).
MANY_ABOVE = 100
FEW_BELOW = 20
# The fraction of classes that form the head if the paper's rule puts all classes on one side. CIFAR100-LT with imbalance
# factor 100 has 70 head classes of 100.
FALLBACK_HEAD = 0.7


def head_and_tail(class_counts: Sequence[int] | NDArray[Any]) -> tuple[dict[str, list[int]], str]:
    """Returns the classes of head and tail, and the rule; see ``ClassGroups.head_tail``."""
    counts = checked_counts(class_counts)
    if len(counts) < 2:
        raise GroupsError("head and tail need at least two classes; use ClassGroups.per_class(1) for one")
    head = np.flatnonzero(counts >= FEW_BELOW)
    rule = f"by the paper's rule, head classes have at least {FEW_BELOW} images"
    if len(head) in (0, len(counts)):
        by_frequency = np.argsort(-counts, kind="stable")
        size = min(max(round(FALLBACK_HEAD * len(counts)), 1), len(counts) - 1)
        head = by_frequency[:size]
        side = "fewer" if counts.max() < FEW_BELOW else "more"
        rule = f"70/30 by count, as the paper's rule separates nothing: every class has {FEW_BELOW} images or {side}"
    tail = np.setdiff1d(np.arange(len(counts)), head)
    return {"head": head.tolist(), "tail": tail.tolist()}, rule


def by_shots(class_counts: Sequence[int] | NDArray[Any]) -> tuple[dict[str, list[int]], str]:
    """Returns the many-, medium- and few-shot classes, and the rule; see ``ClassGroups.shots``."""
    counts = checked_counts(class_counts)
    parts = {
        "many": np.flatnonzero(counts > MANY_ABOVE),
        "medium": np.flatnonzero((counts >= FEW_BELOW) & (counts <= MANY_ABOVE)),
        "few": np.flatnonzero(counts < FEW_BELOW),
    }
    rule = f"shots: many > {MANY_ABOVE}, medium {FEW_BELOW}-{MANY_ABOVE}, few < {FEW_BELOW} images"
    return {name: ids.tolist() for name, ids in parts.items() if len(ids)}, rule
