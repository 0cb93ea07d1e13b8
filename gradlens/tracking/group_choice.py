"""Which groups a tracked run measures: what was asked for, applied to the classes that were found."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradlens.groups import FEW_BELOW, ClassGroups, GroupsError
from gradlens.tracking.errors import WrongUse
from gradlens.tracking.options import TrackOptions

# How a rule says that some outputs have no class of the data.
DATA = "classes have data"


def needs_counts(options: TrackOptions) -> bool:
    """Says whether the groups depend on the class counts."""
    return options.groups_from is None and options.groups in (None, "head-tail", "shots")


def choose_groups(
    options: TrackOptions, num_classes: int, counts: NDArray[np.int64] | None, counts_source: str | None
) -> ClassGroups:
    """Returns the groups.

    Args:
        options: What was asked for.
        num_classes: C, of the logits.
        counts: [C], where known; needed where ``needs_counts``. Classes without data belong to no group that follows from them.
        counts_source: Where they come from, for the rule's sentence.

    Raises:
        WrongUse: The groups do not fit the classes.
    """
    try:
        if options.groups_from is not None:
            return _taken(options, num_classes)
        if options.groups == "per-class":
            return _per_class(num_classes, counts)
        if not needs_counts(options):
            return ClassGroups.parse(str(options.groups), num_classes)
        if counts is None:
            raise GroupsError("the class counts are not known")
        return _by_counts(options.groups == "shots", counts, f"counts from {counts_source}")
    except GroupsError as error:
        asked = f"--groups-from {options.groups_source}" if options.groups_from is not None else "--groups"
        raise WrongUse(f"{asked}: {error}") from error


def by_frequency(counts: NDArray[np.int64], of: str) -> ClassGroups:
    """Returns head and tail by rank, where it is not known how many images the classes have, only which are frequent.

    Args:
        counts: [C] how often each class was seen.
        of: What was counted.
    """
    # A class that was seen once says that more may come which were not: rare ones, which are tail. Without such a class, what
    # was not seen has no data (Good and Turing: the chance of something new is the share of what was seen once).
    known = counts + 1 if (counts == 1).any() else counts
    # So many of each that no class counts as few: what remains of the rule is the rank.
    ranked = _by_counts(False, known * FEW_BELOW, "")
    members = dict(zip(ranked.names, ranked.classes, strict=True))
    rule = f"70/30 by how often classes occur in the {of}, as the number of images of a class is not known"
    return ClassGroups(members, len(counts), rule=_without_data(known) + rule)


def fit(options: TrackOptions, num_classes: int) -> bool:
    """Says whether the groups asked for may be over so many classes; those that follow from counts fit any."""
    if needs_counts(options):
        return True
    try:
        choose_groups(options, num_classes, None, None)
    except WrongUse:
        return False
    return True


def _by_counts(shots: bool, counts: NDArray[np.int64], source: str) -> ClassGroups:
    """Returns groups of the classes that have data; a single one is a group by itself."""
    present = np.flatnonzero(counts)
    if len(present) < 2:
        return _per_class(len(counts), counts)
    chosen = ClassGroups.shots(counts[present]) if shots else ClassGroups.head_tail(counts[present])
    members = {name: present[list(ids)].tolist() for name, ids in zip(chosen.names, chosen.classes, strict=True)}
    return ClassGroups(members, len(counts), rule=f"{_without_data(counts)}{chosen.rule}; {source}")


def _per_class(num_classes: int, counts: NDArray[np.int64] | None) -> ClassGroups:
    """Returns a group for each class that has data, or for each output where that is not known."""
    if counts is None or not counts.any():
        return ClassGroups.per_class(num_classes)
    members = {str(c): [c] for c in np.flatnonzero(counts).tolist()}
    return ClassGroups(members, num_classes, rule=f"{_without_data(counts)}every class by itself")


def _without_data(counts: NDArray[np.int64]) -> str:
    """Says how many outputs have classes with data, where some have not."""
    present = int((counts > 0).sum())
    return "" if present == len(counts) else f"{len(counts)} outputs, {present} {DATA}; "


def _taken(options: TrackOptions, num_classes: int) -> ClassGroups:
    groups = ClassGroups.from_json(options.groups_from or {})
    if groups.num_classes != num_classes:
        raise GroupsError(
            f"these groups are over {groups.num_classes} classes, but the model's output has {num_classes}; take the groups of a "
            "run with the same classes"
        )
    members = dict(zip(groups.names, groups.classes, strict=True))
    return ClassGroups(members, num_classes, rule=f"as in {options.groups_source}: {groups.rule}")
