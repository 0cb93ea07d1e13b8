"""Head, middle and tail of classes by how often they occur: the rule for vocabularies, whose counts span many orders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlens.class_ids import GroupsError, checked_counts

# The shares of all occurrences that head and tail have: the classes A, B and C of an ABC analysis (80 %, 15 % and 5 %), after
# Pareto. Long-tail recommendation cuts its popular items the same way, at 80 % of all events.
HEAD, TAIL = 0.8, 0.05


def by_frequency(
    class_counts: Sequence[int] | NDArray[Any], head: float, tail: float, without: Iterable[int] = ()
) -> dict[str, list[int]]:
    """Returns the classes of head, middle and tail. A group without a class is left out.

    Classes are taken from the most frequent on. The head ends with the class by which a part ``head`` of all occurrences is
    reached, the middle with the class by which all but a part ``tail`` is reached. Classes that occur equally often are in one
    group. Classes that never occur are in the tail.

    Args:
        class_counts: [C] how often each class occurs.
        head: The part of all occurrences that the head has at least, above 0.
        tail: The part of all occurrences that the tail has at most; ``head + tail`` is at most 1.
        without: Ids that are no classes (padding, ignored labels).

    Raises:
        GroupsError: The counts are not non-negative numbers, nothing was counted, or the parts are out of range.
    """
    counts = checked_counts(class_counts)
    if not 0 < head < 1 or not 0 <= tail <= 1 - head:
        raise GroupsError(
            f"head={head} and tail={tail} are no parts of all occurrences; give parts above 0 that make at most 1 together"
        )
    classes = np.setdiff1d(np.arange(len(counts)), [c for c in without if 0 <= c < len(counts)])
    own = counts[classes]
    if not own.sum() > 0:
        raise GroupsError("no class was counted; head, middle and tail need the counts of a training")
    ordered = np.sort(own)[::-1]
    # The part of all occurrences that is reached with each class. Divided at the end: the counts are whole, so sums are exact.
    reached = np.cumsum(ordered) / own.sum()
    least_of_head = ordered[np.argmax(reached >= head)]
    least_of_middle = ordered[np.argmax(reached >= 1 - tail)]
    of_head = own >= least_of_head
    of_middle = (own >= least_of_middle) & ~of_head & (own > 0)
    parts = {"head": of_head, "middle": of_middle, "tail": ~(of_head | of_middle)}
    return {name: classes[chosen].tolist() for name, chosen in parts.items() if chosen.any()}


def rule_of(head: float, tail: float) -> str:
    """Returns the rule in words: what head, middle and tail are."""
    middle = 1 - head - tail
    return (
        f"by frequency: head is the most frequent classes that make up {head:.0%} of all occurrences, middle the next "
        f"{middle:.0%}, tail the last {tail:.0%} and classes never seen"
    )
