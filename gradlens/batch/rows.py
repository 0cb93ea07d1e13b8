"""RowsByGroup: which rows of an anchor belong to which group. One copy of the labels to the CPU finds it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.graph import GradientEdge

from gradlens.groups import ClassGroups


class LabelsError(ValueError):
    """Labels do not fit the anchor or the groups. The message names the wrong value and the fix."""


# A part of a row that is smaller than this is rounding error, and counts as nothing.
ROUNDING = 1e-6


@dataclass(frozen=True)
class RowsByGroup:
    """The rows of one batch by group.

    Attributes:
        weights: [*labels_shape, K] ([K] for one sample without a batch) on the anchor's device: the fraction of each row that
            belongs to each group. It is 0 or 1 for hard labels. For soft labels it is the group's class mass divided by the
            row's whole mass.
        counts: [K] samples of each group (class mass where labels are soft).
        untracked: How many rows belong to no group, fractions included: ignored labels, and classes in no group.
        index: For each of the K groups, the indices of its rows among the flattened rows.
        class_dim: The dimension of the anchors' classes, if it is known; otherwise their shape decides.
        parts: If anchors have their own labels, the rows of each anchor. Then ``counts`` and ``untracked`` are those of all
            anchors together, and ``weights`` and ``index`` are empty.
        whole: Whether each row is known to belong wholly to one group, or to none.
    """

    weights: Tensor
    counts: tuple[float, ...]
    untracked: float
    index: tuple[Tensor, ...]
    class_dim: int | None = None
    parts: tuple[AnchorRows, ...] = ()
    whole: bool = False


@dataclass(frozen=True)
class AnchorRows:
    """The rows of one of several anchors that have their own labels.

    Attributes:
        rows: The rows of the anchor.
        labels: The labels of the anchor.
        share: The part of a sample that each row counts as; see ``gradlens.batch.labelled.Labelled``.
        terms: For each loss call on the anchor that has its own labels: its result in the graph, and the rows by its labels.
    """

    rows: RowsByGroup
    labels: Tensor
    share: float | Tensor
    terms: tuple[tuple[GradientEdge, RowsByGroup], ...]


def group_rows(
    labels: Tensor, groups: ClassGroups, anchor: Tensor, ignore_index: int = -100, *, class_dim: int | None = None
) -> RowsByGroup:
    """Assigns the rows of an anchor to groups.

    It copies the labels to the CPU. An ordinary measured step waits for the device only here (with ``func`` once more).

    Args:
        labels: [*R] integer class ids, or soft targets: the logits' shape, class mass along the class dimension.
        groups: K groups over C classes.
        anchor: The tensor whose rows are the samples, [*R, ...] or [B, C, *R[1:]].
        ignore_index: The label that cross-entropy ignores.
        class_dim: The dimension of the classes, in the anchor and in soft targets. By default the anchor's shape decides. Soft
            targets then have their classes in the last dimension of [R, C], and otherwise in dimension 1.

    Raises:
        LabelsError: The labels are neither integers nor floats, their shape does not fit, or a class id is unknown; or the
            groups are not made of classes (see ``gradlens.batch.members``).
    """
    labels = dense_labels(labels)
    if groups.members is not None:
        raise LabelsError(not_of_classes(groups))
    if not labels.is_floating_point():
        return rows_of_ids(labels, groups, anchor, ignore_index, class_dim)
    dtype = torch.promote_types(anchor.dtype.to_real(), torch.float32)
    mass, weights = _soft_mass(labels, groups, anchor, class_dim)
    counts = mass.reshape(-1, len(groups)).sum(0)
    flat = weights.reshape(-1, len(groups))
    left = 1 - flat.sum(1)
    index = tuple(torch.nonzero(flat[:, k]).flatten().to(anchor.device, non_blocking=True) for k in range(len(groups)))
    return RowsByGroup(
        weights=weights.to(anchor.device, dtype, non_blocking=True),
        counts=tuple(counts.tolist()),
        untracked=float(left[left > ROUNDING].sum()),
        index=index,
        class_dim=class_dim,
    )


def not_of_classes(groups: ClassGroups) -> str:
    """Returns the message for groups of an attribute's values, of which labels tell nothing."""
    return (
        f"the groups are made of {groups.units}, not of classes, and it was not said which value each sample has; say it: "
        f"lens.backward(loss, labels, members={groups.members})"
    )


def dense_labels(labels: object) -> Tensor:
    """Returns the labels unchanged, after a check that they are a dense tensor.

    Raises:
        LabelsError: The labels are no tensor, or a sparse or nested one.
    """
    if not isinstance(labels, Tensor):
        raise LabelsError(f"labels are {type(labels).__name__}; give a tensor of class ids [B] or class masses [B, C]")
    if labels.is_nested or labels.layout != torch.strided:
        raise LabelsError(
            f"labels are a {'nested' if labels.is_nested else 'sparse'} tensor; give a dense one of class ids [B] or class "
            "masses [B, C]"
        )
    return labels


def rows_of_ids(
    labels: Tensor, groups: ClassGroups, anchor: Tensor, ignore_index: int, class_dim: int | None
) -> RowsByGroup:
    """Assigns rows to groups by their ids of classes (or of an attribute's values); see ``group_rows``."""
    dtype = torch.promote_types(anchor.dtype.to_real(), torch.float32)
    # NumPy is used here, because its calls on small arrays take a third of the time that torch's take.
    group = _groups_of(labels, groups, anchor, ignore_index, class_dim)  # [N]
    found = np.bincount(group + 1, minlength=len(groups) + 1).tolist()
    weights = torch.from_numpy(_one_hot(len(groups))[group + 1]).view(*labels.shape, len(groups))
    order = torch.from_numpy(np.argsort(group, kind="stable"))
    return RowsByGroup(
        weights=weights.to(anchor.device, dtype, non_blocking=True),
        counts=tuple(map(float, found[1:])),
        untracked=float(found[0]),
        index=torch.split(order.to(anchor.device, non_blocking=True), found)[1:],
        class_dim=class_dim,
        whole=True,
    )


def _groups_of(
    labels: Tensor, groups: ClassGroups, anchor: Tensor, ignore_index: int, class_dim: int | None
) -> NDArray[np.int64]:
    """Returns [N] the group of each label; -1 for labels that are ignored or in no group."""
    if labels.is_complex() or labels.dtype == torch.bool:
        raise LabelsError(f"labels have dtype {labels.dtype}; class ids must be integers (call labels.long())")
    _check_shape(labels.shape, anchor.shape, class_dim)
    ids = labels.detach().to("cpu", torch.int64)  # the synchronisation
    square = labels.shape == anchor.shape and labels.ndim > 1 and groups.members is None
    if square and groups.num_classes in (labels.shape[1], labels.shape[-1]):
        _refuse_indicators(ids)
    flat: NDArray[np.int64] = ids.reshape(-1).numpy()
    table, classes = groups.of_class(), groups.num_classes
    # As an unsigned number, a negative one is very large.
    if flat.size and flat.view(np.uint64).max() < classes and not 0 <= ignore_index < classes:
        return table[flat]
    ignored = flat == ignore_index
    known = (flat >= 0) & (flat < classes) & ~ignored
    wrong = flat[~known & ~ignored]
    if wrong.size and groups.members is not None:
        raise LabelsError(
            f"members hold {int(wrong[0])}, which is no value of {groups.members}: the groups are over {classes} values, ids 0 "
            f"to {classes - 1}; correct the members, or the number of values"
        )
    if wrong.size:
        raise LabelsError(
            f"label {int(wrong[0])} is no class id: the groups are over {classes} classes, ids 0 to "
            f"{classes - 1} (and ignore_index {ignore_index}); correct the labels or num_classes"
        )
    return np.where(known, table[flat.clip(0, classes - 1)], -1)


@lru_cache(maxsize=8)
def _one_hot(count: int) -> NDArray[np.float32]:
    """Returns [count + 1, count]: row 0 is zero, and row k + 1 has a 1 in column k."""
    return np.eye(count + 1, count, -1, dtype=np.float32)


def _refuse_indicators(ids: Tensor) -> None:
    """Raises LabelsError if integer labels [B, C] are all 0 or 1: these are one-hot labels, not ids of the classes 0 and 1."""
    if bool(((ids == 0) | (ids == 1)).all()):
        raise LabelsError(
            f"labels of shape {list(ids.shape)} hold only 0 and 1, as one-hot labels do, but are integers, which are class ids; "
            "give class masses (labels.float()), or ids (labels.argmax(1))"
        )


def _soft_mass(labels: Tensor, groups: ClassGroups, anchor: Tensor, class_dim: int | None) -> tuple[Tensor, Tensor]:
    """Returns the class mass of each row in each group, and the same divided by the row's whole mass. Both are [*R, K]."""
    dim = (labels.ndim - 1 if labels.ndim <= 2 else 1) if class_dim is None else class_dim
    if labels.ndim < 1 or labels.shape[dim] != groups.num_classes:
        raise LabelsError(
            f"soft labels of shape {list(labels.shape)} need one column for each of the {groups.num_classes} classes in "
            f"dimension {dim}; give class ids as integers or masses [B, {groups.num_classes}]"
        )
    masses = labels.detach().movedim(dim, -1).to("cpu", torch.float64)  # [*R, C]; the synchronisation
    _check_shape(masses.shape[:-1], anchor.shape, class_dim)
    if bool((masses < 0).any()):
        raise LabelsError(f"soft labels hold {float(masses.min()):.3g}; class masses must not be negative")
    table = groups.of_class()
    membership = torch.zeros(groups.num_classes, len(groups), dtype=torch.float64)
    inside = table >= 0
    membership[torch.from_numpy(inside.nonzero()[0]), torch.from_numpy(table[inside])] = 1.0
    whole = masses.sum(-1, keepdim=True)
    mass = masses @ membership
    return mass, torch.where(whole > 0, mass / whole, 0.0)


def _check_shape(labels: torch.Size, anchor: torch.Size, class_dim: int | None) -> None:
    if not labels and class_dim != 0:
        raise LabelsError(
            "the labels are those of a single sample without a batch; give a batch of one: labels.unsqueeze(0)"
        )
    lead, around = rows_lead(anchor, labels), rows_around_classes(anchor, labels)
    if not lead and not around:
        raise LabelsError(
            f"labels of shape {list(labels)} do not fit the anchor of shape {list(anchor)}: its first dimension must count the "
            "samples; give one label for each of its rows"
        )
    if lead and around and class_dim is None:
        raise LabelsError(
            f"labels of shape {list(labels)} fit the anchor of shape {list(anchor)} in two ways (classes in dimension 1 or "
            "last); flatten both, logits to [rows, classes] and labels to [rows]"
        )


def rows_lead(anchor: torch.Size, labels: torch.Size) -> bool:
    """Says whether the labels' dimensions are the anchor's first ones, [*R, ...]."""
    return len(anchor) >= len(labels) and anchor[: len(labels)] == labels


def rows_around_classes(anchor: torch.Size, labels: torch.Size) -> bool:
    """Says whether the anchor is [B, C, *R[1:]] for labels [B, *R[1:]]: cross-entropy takes such inputs."""
    return len(labels) >= 2 and len(anchor) == len(labels) + 1 and anchor[0] == labels[0] and anchor[2:] == labels[1:]


def classes_within(anchor: torch.Size, labels: torch.Size, class_dim: int | None) -> bool:
    """Says whether the classes of the anchor are in dimension 1, between the dimensions of the rows, and not after them.

    Args:
        anchor: Shape [*R, ...] or [B, C, *R[1:]].
        labels: Shape [*R].
        class_dim: The dimension of the classes, if it is known. It decides where the shape fits both.
    """
    return rows_around_classes(anchor, labels) and (class_dim == 1 or not rows_lead(anchor, labels))


def mask_rows(cotangent: Tensor, weights: Tensor, class_dim: int | None = None) -> Tensor:
    """Returns the cotangent with each row multiplied by its weight.

    Args:
        cotangent: [*R, ...] or [B, C, *R[1:]].
        weights: [*R] fraction of each row that belongs to the group.
        class_dim: The dimension of the classes, if it is known.
    """
    return mask_rows_by_group(cotangent, weights.unsqueeze(-1), class_dim)[0]


def mask_rows_by_group(cotangent: Tensor, weights: Tensor, class_dim: int | None = None) -> Tensor:
    """Returns [V, *cotangent]: the cotangent masked to the rows of V groups, one after another; see ``mask_rows``.

    Args:
        cotangent: [*R, ...] or [B, C, *R[1:]].
        weights: [*R, V] fraction of each row that belongs to each group.
        class_dim: The dimension of the classes, if it is known.
    """
    each = weights.movedim(-1, 0)  # [V, *R]
    if classes_within(cotangent.shape, each.shape[1:], class_dim):
        spread = each.unsqueeze(2)
    else:
        spread = each.reshape(each.shape + (1,) * (cotangent.ndim + 1 - each.ndim))
    # A row outside the group becomes zero, even if its cotangent is NaN or infinite.
    return (cotangent * spread).masked_fill_(spread == 0, 0.0).to(cotangent.dtype)
