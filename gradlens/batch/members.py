"""Members: groups rows by another attribute of the samples than their class (domain, language, annotator)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gradlens.batch.rows import LabelsError, RowsByGroup, dense_labels, not_of_classes, rows_of_ids
from gradlens.groups import ClassGroups

# Stands for the value of a row that is no sample. No attribute has this value.
NO_SAMPLE = torch.iinfo(torch.int64).min


def member_ids(members: object, groups: ClassGroups) -> Tensor | None:
    """Returns the ids of an attribute's values, after a check of their type; None if the groups are made of classes.

    Args:
        members: Ids as an integer tensor, or the names of the values as a sequence of texts; None for groups of classes.
        groups: The groups.

    Raises:
        LabelsError: There are members, but the groups are made of classes; or the other way round. Members are of another
            type, or a name is no value.
    """
    if groups.members is None and members is None:
        return None
    if members is None:
        raise LabelsError(not_of_classes(groups))
    if groups.members is None:
        raise LabelsError(
            "members were given, but the groups are made of classes; make groups of the attribute: "
            "ClassGroups.of_attribute('domain', ['photo', 'sketch'])"
        )
    if isinstance(members, Sequence) and members and all(isinstance(name, str) for name in members):
        return _named(members, groups)
    if not isinstance(members, Tensor):
        raise LabelsError(
            f"members are {type(members).__name__}; give a tensor with the id of each sample's value of {groups.members}, or "
            "the values' names"
        )
    if members.is_floating_point() or members.is_complex():
        raise LabelsError(
            f"members have dtype {members.dtype}; the values of {groups.members} must be integers (members.long()), and a "
            "sample has one of them"
        )
    return dense_labels(members.detach()).long()


def member_rows(
    members: Tensor,
    labels: Tensor,
    groups: ClassGroups,
    anchor: Tensor,
    ignore_index: int = -100,
    *,
    class_dim: int | None = None,
) -> RowsByGroup:
    """Assigns the rows of an anchor to groups by the values of an attribute. It copies these to the CPU, as ``group_rows`` does.

    Rows whose label is ``ignore_index`` are no samples, whatever their value.

    Args:
        members: Ids from ``member_ids``: one for each sample [B], or one for each row [*R] (token, pixel).
        labels: [*R] class ids, or one or several numbers for each sample, [B, ...].
        groups: K groups of the attribute's values.
        anchor: The tensor whose rows are the samples, [*R, ...] or [B, C, *R[1:]].
        ignore_index: The label of rows that are no samples.
        class_dim: The dimension of the anchor's classes, if it is known.

    Raises:
        LabelsError: The members fit neither the samples nor the rows, or hold an unknown value.
    """
    labels = dense_labels(labels)
    if labels.is_floating_point():
        _check_length(members, labels.shape[:1], groups)
        return rows_of_ids(members, groups, anchor, NO_SAMPLE, class_dim)
    rows = labels.shape
    if members.shape != rows:
        _check_length(members, rows[:1], groups)
        if members.ndim != 1:
            raise LabelsError(
                f"members of shape {list(members.shape)} do not fit labels of shape {list(rows)}; give one value for each "
                f"sample [{rows[0]}], or one for each label"
            )
        members = members.reshape(-1, *(1,) * (len(rows) - 1)).expand(rows)
    ids = torch.where(labels == ignore_index, NO_SAMPLE, members.to(labels.device, non_blocking=True))
    return rows_of_ids(ids, groups, anchor, NO_SAMPLE, class_dim)


def _check_length(members: Tensor, samples: torch.Size, groups: ClassGroups) -> None:
    if members.shape[:1] != samples or not samples:
        raise LabelsError(
            f"members of shape {list(members.shape)} do not fit {samples.numel()} samples; give each sample its value of "
            f"{groups.members}"
        )


def _named(names: Sequence[str], groups: ClassGroups) -> Tensor:
    if not groups.values:
        raise LabelsError(
            f"members are texts ({names[0]!r}), but the values of {groups.members} have no names; name them: "
            f"ClassGroups.of_attribute({groups.members!r}, [{names[0]!r}, ...])"
        )
    ids = {name: at for at, name in enumerate(groups.values)}
    if unknown := [name for name in names if name not in ids]:
        raise LabelsError(
            f"members hold {unknown[0]!r}, which is no value of {groups.members}: its values are {', '.join(groups.values)}"
        )
    return torch.tensor([ids[name] for name in names])
