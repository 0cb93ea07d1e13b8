"""Chooses the groups of a tracked run: applies the options of the command line to the classes that were found."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradlens.class_ids import MOST_CLASSES, GroupsError
from gradlens.classes.shots import FEW_BELOW
from gradlens.groups import ClassGroups
from gradlens.tracking.errors import WrongUse
from gradlens.tracking.find.batch_path import parse_path
from gradlens.tracking.options import TrackOptions

# Words of a group rule, if some outputs of the model have no samples in the data.
DATA = "classes have data"
# Words of a group rule, before the number of classes that the model's output has now.
COMING = "; the model's output has"


def needs_counts(options: TrackOptions) -> bool:
    """Says whether the groups depend on the class counts."""
    return options.groups_from is None and options.groups in (None, "head-tail", "shots", "frequency")


def counts_tokens(options: TrackOptions) -> bool:
    """Says whether the groups are head, middle and tail of a vocabulary by its counted tokens."""
    return options.groups_from is None and options.groups == "frequency"


def choose_groups(
    options: TrackOptions,
    num_classes: int,
    counts: NDArray[np.int64] | None,
    counts_source: str | None,
    ignored: int = -100,
) -> ClassGroups:
    """Returns the groups.

    Args:
        options: The options of the command line.
        num_classes: C, the number of classes of the logits. Groups that name their classes may have more, which come later.
        counts: [C] class counts; None if they are not known. Rules that need counts put classes without data into no group.
        counts_source: Where the counts were found, for the text of the rule.
        ignored: The label that the loss ignores. It is no class.

    Raises:
        WrongUse: The groups in the options cannot be made from these counts.
    """
    try:
        if options.members is not None:
            return _of_values(options, num_classes, counts)
        if options.groups == "per-class" and options.groups_from is None:
            return _per_class(num_classes, counts)
        if not needs_counts(options):
            return _checked(options, over(_named(options), num_classes), num_classes)
        if counts is None:
            raise GroupsError("the class counts are not known")
        if counts_tokens(options):
            return _of_tokens(counts, ignored, f"counts from {counts_source}")
        return _by_counts(options.groups == "shots", counts, f"counts from {counts_source}")
    except GroupsError as error:
        text = (
            f"--groups-from {options.groups_source}"
            if options.from_file
            else f"--groups {options.groups or 'head-tail'}"
        )
        raise WrongUse(f"{text}: {error}") from error


def by_frequency(counts: NDArray[np.int64], of: str) -> ClassGroups:
    """Returns head and tail by rank only. The number of images of each class is not known, but which classes are frequent is.

    Args:
        counts: [C] how often each class was seen.
        of: What was counted, for the text of the rule.
    """
    # If a class was seen only once, there may be rare classes that were not seen yet: these belong to the tail. If there is no
    # such class, classes that were not seen have no data (Good and Turing: the chance of a new class is about the share of the
    # samples whose class was seen once).
    known = counts + 1 if (counts == 1).any() else counts
    # Multiplied so that no class has "few" images. Then only the rank decides.
    ranked = _by_counts(False, known * FEW_BELOW, "")
    members = dict(zip(ranked.names, ranked.classes, strict=True))
    rule = f"70/30 by how often classes occur in the {of}, as the number of images of a class is not known"
    return ClassGroups(members, len(counts), rule=_without_data(known) + rule)


def fit(options: TrackOptions, num_classes: int) -> bool:
    """Says whether the groups in the options can be meant for this number of classes.

    It chooses among losses over different numbers of classes.
    """
    if needs_counts(options) or options.groups == "per-class" or options.members is not None:
        return True
    groups = _named(options)
    exact = options.groups_from is not None and not options.from_file
    return groups.num_classes == num_classes if exact else groups.num_classes <= num_classes


def _of_tokens(counts: NDArray[np.int64], ignored: int, source: str) -> ClassGroups:
    groups = ClassGroups.by_frequency(counts, without=[ignored])
    members = dict(zip(groups.names, groups.classes, strict=True))
    seen = f"{np.count_nonzero(counts):,} of {len(counts):,} ids seen"
    return ClassGroups(members, len(counts), rule=f"{groups.rule}; {seen}, {source}")


def _checked(options: TrackOptions, groups: ClassGroups, num_classes: int) -> ClassGroups:
    """Returns the groups. Those of a file are made for the model that there is, so a class that it has not is a mistake."""
    if options.from_file and groups.num_classes > num_classes:
        last = max(ids[-1] for ids in groups.classes)
        raise GroupsError(f"class {last} is unknown: ids of {num_classes} classes run from 0 to {num_classes - 1}")
    return groups


def _by_counts(shots: bool, counts: NDArray[np.int64], source: str) -> ClassGroups:
    """Returns head and tail, or shots, of the classes that have data. If only one class has data, it is a group by itself."""
    present = np.flatnonzero(counts)
    if len(present) < 2:
        return _per_class(len(counts), counts)
    chosen = ClassGroups.shots(counts[present]) if shots else ClassGroups.head_tail(counts[present])
    members = {name: present[list(ids)].tolist() for name, ids in zip(chosen.names, chosen.classes, strict=True)}
    return ClassGroups(members, len(counts), rule=f"{_without_data(counts)}{chosen.rule}; {source}")


def _per_class(num_classes: int, counts: NDArray[np.int64] | None) -> ClassGroups:
    """Returns a group for each class that has data; for each of the C classes if that is not known."""
    if counts is None or not counts.any():
        return ClassGroups.per_class(num_classes)
    members = {str(c): [c] for c in np.flatnonzero(counts).tolist()}
    return ClassGroups(members, num_classes, rule=f"{_without_data(counts)}every class by itself")


def _of_values(options: TrackOptions, count: int, counts: NDArray[np.int64] | None) -> ClassGroups:
    """Returns the groups of an attribute's values: those of the options, or one for each value that occurs."""
    assert options.members is not None
    if options.groups_from is not None:
        return ClassGroups.from_json(options.groups_from)
    values = range(count) if counts is None else np.flatnonzero(counts).tolist()
    alone = {str(value): [value] for value in values}
    return ClassGroups(
        alone, count, rule="every value by itself", members=parse_path(options.members, "--members").name
    )


def _without_data(counts: NDArray[np.int64]) -> str:
    """Returns the words of the rule that say how many outputs have data; "" if all have."""
    present = int((counts > 0).sum())
    return "" if present == len(counts) else f"{len(counts)} outputs, {present} {DATA}; "


def over(groups: ClassGroups, num_classes: int) -> ClassGroups:
    """Returns the same groups over ``num_classes`` classes, or more if the groups name more.

    If they name more, their rule says that these classes are absent until they come.

    Args:
        groups: The groups.
        num_classes: C, the number of classes of the logits.
    """
    if groups.members is not None:
        return groups
    members = dict(zip(groups.names, groups.classes, strict=True))
    last = max(ids[-1] for ids in groups.classes)
    rule = groups.rule.partition(COMING)[0]
    if last >= num_classes:
        rule += f"{COMING} {num_classes}: class ids from there on are absent until they come"
    return ClassGroups(members, max(num_classes, last + 1), rule=rule)


def _named(options: TrackOptions) -> ClassGroups:
    """Returns the groups of another run, or those of NAME=IDS pairs. Their number of classes is the one that they need."""
    if options.groups_from is None:
        groups = ClassGroups.parse(str(options.groups), MOST_CLASSES + 1)
        members = dict(zip(groups.names, groups.classes, strict=True))
        return ClassGroups(members, max(ids[-1] for ids in groups.classes) + 1, rule=groups.rule)
    groups = ClassGroups.from_json(options.groups_from)
    if options.from_file:
        return groups
    members = dict(zip(groups.names, groups.classes, strict=True))
    return ClassGroups(members, groups.num_classes, rule=f"as in {options.groups_source}: {groups.rule}")
