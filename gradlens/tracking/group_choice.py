"""Which groups a tracked run measures: what was asked for, applied to the classes that were found."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradlens.groups import FEW_BELOW, ClassGroups, GroupsError
from gradlens.tracking.errors import WrongUse
from gradlens.tracking.options import TrackOptions


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
        counts: [C], where known; needed where ``needs_counts``.
        counts_source: Where they come from, for the rule's sentence.

    Raises:
        WrongUse: The groups do not fit the classes.
    """
    try:
        if options.groups_from is not None:
            return _taken(options, num_classes)
        if options.groups == "per-class":
            return ClassGroups.per_class(num_classes)
        if not needs_counts(options):
            return ClassGroups.parse(str(options.groups), num_classes)
        if counts is None:
            raise GroupsError("the class counts are not known")
        chosen = ClassGroups.shots(counts) if options.groups == "shots" else ClassGroups.head_tail(counts)
        groups = dict(zip(chosen.names, chosen.classes, strict=True))
        return ClassGroups(groups, num_classes, rule=f"{chosen.rule}; counts from {counts_source}")
    except GroupsError as error:
        asked = f"--groups-from {options.groups_source}" if options.groups_from is not None else "--groups"
        raise WrongUse(f"{asked}: {error}") from error


def by_frequency(counts: NDArray[np.int64], of: str) -> ClassGroups:
    """Returns head and tail by rank, where it is not known how many images the classes have, only which are frequent.

    Args:
        counts: [C] how often each class was seen.
        of: What was counted.
    """
    # So many of each that no class counts as few: what remains of the rule is the rank.
    ranked = ClassGroups.head_tail((counts + 1) * FEW_BELOW)
    members = dict(zip(ranked.names, ranked.classes, strict=True))
    rule = f"70/30 by how often classes occur in the {of}, as the number of images of a class is not known"
    return ClassGroups(members, len(counts), rule=rule)


def fit(options: TrackOptions, num_classes: int) -> bool:
    """Says whether the groups asked for may be over so many classes; those that follow from counts fit any."""
    if needs_counts(options):
        return True
    try:
        choose_groups(options, num_classes, None, None)
    except WrongUse:
        return False
    return True


def _taken(options: TrackOptions, num_classes: int) -> ClassGroups:
    groups = ClassGroups.from_json(options.groups_from or {})
    if groups.num_classes != num_classes:
        raise GroupsError(
            f"these groups are over {groups.num_classes} classes, but the model's output has {num_classes}; take the groups of a "
            "run with the same classes"
        )
    members = dict(zip(groups.names, groups.classes, strict=True))
    return ClassGroups(members, num_classes, rule=f"as in {options.groups_source}: {groups.rule}")
