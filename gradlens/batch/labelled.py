"""Labelled: an anchor and the labels that belong to it.

It is needed where one list of labels is not enough: several anchors have their own labels (chunks of a batch, time steps), or
one row has several labels (mixup).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from gradlens.batch.members import member_rows
from gradlens.batch.rows import AnchorRows, RowsByGroup, group_rows
from gradlens.batch.scores import group_scores
from gradlens.groups import ClassGroups


@dataclass(frozen=True)
class LossTerm:
    """One of several loss calls on an anchor. The gradient that comes through it is attributed by its own labels.

    Attributes:
        edge: The result of the call in the graph.
        labels: The labels of the call.
        ignore_index: The label that the call ignores.
    """

    edge: GradientEdge
    labels: Tensor
    ignore_index: int


@dataclass(frozen=True)
class Labelled:
    """An anchor with its labels.

    Attributes:
        anchor: A tensor whose rows are samples.
        labels: Class ids of those rows, or class masses.
        ignore_index: The label that marks a row without a sample.
        class_dim: The dimension of the anchor's classes, if it is known.
        share: The part of a sample that each row counts as: one number, or one for each row. It is 0 if another anchor with the
            same labels counts the samples already (an auxiliary head). It is less than 1 if several anchors divide the labels
            of one sample.
        terms: Loss calls with their own labels. The rest of the gradient at the anchor is attributed by ``labels``.
        members: Values of the attribute that the groups are made of, from ``member_ids``; None if they are made of classes.
    """

    anchor: Tensor
    labels: Tensor
    ignore_index: int = -100
    class_dim: int | None = None
    share: float | Tensor = 1.0
    terms: tuple[LossTerm, ...] = ()
    members: Tensor | None = None


def rows_of(labelled: Sequence[Labelled], groups: ClassGroups) -> RowsByGroup:
    """Assigns the rows of several anchors to groups.

    Args:
        labelled: The anchors, at least one.
        groups: K groups.

    Returns:
        The rows, with one part for each anchor. Their counts are those of all anchors together.

    Raises:
        LabelsError: Labels do not fit their anchor or the groups; see ``group_rows``.
    """
    parts = [_part(item, groups) for item in labelled]
    counted = [_counts(part) for part in parts]
    return RowsByGroup(
        weights=parts[0].rows.weights.new_zeros(0, len(groups)),
        counts=tuple(sum(counts) for counts in zip(*counted, strict=True)),
        untracked=sum(rows.untracked for part in parts for rows in (part.rows, *(rows for _, rows in part.terms))),
        index=(),
        parts=tuple(parts),
    )


def scores_of(
    anchors: Sequence[Tensor], labels: Tensor, rows: RowsByGroup, groups: ClassGroups, logits: Tensor | None = None
) -> Tensor:
    """Returns the scores [2, K] of ``group_scores``; where anchors have their own labels, summed over the anchors."""
    if not rows.parts:
        return group_scores(anchors, labels, rows, groups, logits)
    found = []
    for anchor, part in zip(anchors, rows.parts, strict=True):
        if isinstance(part.share, Tensor) or part.share:
            shared = replace(part.rows, weights=_shared(part.rows.weights, part.share))
            found.append(group_scores([anchor], part.labels, shared, groups))
    return torch.stack([scores.to(found[0].device) for scores in found]).sum(0)


def outside(rows: RowsByGroup) -> RowsByGroup:
    """Returns rows with a single group: the part of each row that belongs to no group of ``rows``."""
    left = (1 - rows.weights.sum(-1, keepdim=True)).clamp(min=0)
    parts = tuple(
        replace(part, rows=outside(part.rows), terms=tuple((edge, outside(own)) for edge, own in part.terms))
        for part in rows.parts
    )
    return replace(rows, weights=left, parts=parts)


def _part(item: Labelled, groups: ClassGroups) -> AnchorRows:
    def rows(labels: Tensor, ignore_index: int) -> RowsByGroup:
        if item.members is not None:
            return member_rows(item.members, labels, groups, item.anchor, ignore_index, class_dim=item.class_dim)
        return group_rows(labels, groups, item.anchor, ignore_index, class_dim=item.class_dim)

    terms = tuple((term.edge, rows(term.labels, term.ignore_index)) for term in item.terms)
    return AnchorRows(rows(item.labels, item.ignore_index), item.labels, item.share, terms)


def _counts(part: AnchorRows) -> tuple[float, ...]:
    if not isinstance(part.share, Tensor):
        return tuple(count * part.share for count in part.rows.counts)
    shared = _shared(part.rows.weights, part.share).reshape(-1, part.rows.weights.shape[-1]).double().sum(0)
    return tuple(shared.tolist())


def _shared(weights: Tensor, share: float | Tensor) -> Tensor:
    """Returns the weights [*R, K] times the share of each row."""
    if isinstance(share, Tensor) and share.ndim:
        share = share.to(weights).reshape(*weights.shape[:-1], 1)
    return weights * share
