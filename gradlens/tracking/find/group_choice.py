"""Which groups a tracked run measures: what was asked for, applied to the classes that were found."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradlens.groups import FEW_BELOW, MOST_CLASSES, ClassGroups, GroupsError
from gradlens.tracking.errors import WrongUse
from gradlens.tracking.options import TrackOptions

# How a rule says that some outputs have no class of the data.
DATA = "classes have data"
# In a rule: what the model's output has at the moment.
COMING = "; the model's output has"


def needs_counts(options: TrackOptions) -> bool:
    """Says whether the groups depend on the class counts."""
    return options.groups_from is None and options.groups in (None, "head-tail", "shots")


def choose_groups(
    options: TrackOptions, num_classes: int, counts: NDArray[np.int64] | None, counts_source: str | None
) -> ClassGroups:
    """Returns the groups.

    Args:
        options: What was asked for.
        num_classes: C, of the logits. Groups that are named class by class may hold classes to come, beyond these.
        counts: [C], where known; needed where ``needs_counts``. Classes without data belong to no group that follows from them.
        counts_source: Where they come from, for the rule's sentence.

    Raises:
        WrongUse: The counts make no groups.
    """
    try:
        if options.groups == "per-class" and options.groups_from is None:
            return _per_class(num_classes, counts)
        if not needs_counts(options):
            return over(_named(options), num_classes)
        if counts is None:
            raise GroupsError("the class counts are not known")
        return _by_counts(options.groups == "shots", counts, f"counts from {counts_source}")
    except GroupsError as error:
        raise WrongUse(f"--groups {options.groups or 'head-tail'}: {error}") from error


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
    """Says whether the groups asked for were meant for so many classes, where losses over several numbers of them are seen."""
    if needs_counts(options) or options.groups == "per-class":
        return True
    groups = _named(options)
    return groups.num_classes == num_classes if options.groups_from is not None else groups.num_classes <= num_classes


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


def over(groups: ClassGroups, num_classes: int) -> ClassGroups:
    """Returns the same groups over so many classes at least; their rule says which have no output yet.

    Args:
        groups: The groups.
        num_classes: C, of the logits.
    """
    members = dict(zip(groups.names, groups.classes, strict=True))
    last = max(ids[-1] for ids in groups.classes)
    rule = groups.rule.partition(COMING)[0]
    if last >= num_classes:
        rule += f"{COMING} {num_classes}: class ids from there on are absent until they come"
    return ClassGroups(members, max(num_classes, last + 1), rule=rule)


def _named(options: TrackOptions) -> ClassGroups:
    """Returns the groups of another run, or those of NAME=IDS pairs, over as many classes as they name."""
    if options.groups_from is None:
        groups = ClassGroups.parse(str(options.groups), MOST_CLASSES + 1)
        members = dict(zip(groups.names, groups.classes, strict=True))
        return ClassGroups(members, max(ids[-1] for ids in groups.classes) + 1, rule=groups.rule)
    groups = ClassGroups.from_json(options.groups_from)
    members = dict(zip(groups.names, groups.classes, strict=True))
    return ClassGroups(members, groups.num_classes, rule=f"as in {options.groups_source}: {groups.rule}")
