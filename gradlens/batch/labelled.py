"""Labelled: anchors with labels of their own (chunks of a batch, time steps), and several labels for one row (mixup)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from gradlens.batch.rows import AnchorRows, Rows, group_rows
from gradlens.batch.scores import group_scores
from gradlens.groups import ClassGroups


@dataclass(frozen=True)
class LossTerm:
    """One of several loss calls on an anchor: what flows through it belongs to labels of its own.

    Attributes:
        edge: Where the call's result lies in the graph.
        labels: Its labels.
        ignore_index: The label that it ignores.
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
        ignore_index: The label that belongs to no sample.
        class_dim: Where the anchor has its classes, if that is known.
        share: What part of a sample each row counts as, one number or one for each row: 0 where other anchors with the same
            labels count already (an auxiliary head), less than 1 where several anchors share out one sample's labels.
        terms: Loss calls with labels of their own; what reaches the anchor besides goes by ``labels``.
    """

    anchor: Tensor
    labels: Tensor
    ignore_index: int = -100
    class_dim: int | None = None
    share: float | Tensor = 1.0
    terms: tuple[LossTerm, ...] = ()


def rows_of(labelled: Sequence[Labelled], groups: ClassGroups) -> Rows:
    """Assigns the rows of several anchors to groups.

    Args:
        labelled: The anchors, at least one.
        groups: K groups.

    Returns:
        Rows whose ``parts`` are those of the anchors, and whose numbers are of all of them.

    Raises:
        LabelsError: As ``group_rows``.
    """
    parts = [_part(item, groups) for item in labelled]
    counted = [_counts(part) for part in parts]
    return Rows(
        weights=parts[0].rows.weights.new_zeros(0, len(groups)),
        counts=tuple(sum(counts) for counts in zip(*counted, strict=True)),
        untracked=sum(rows.untracked for part in parts for rows in (part.rows, *(rows for _, rows in part.terms))),
        index=(),
        parts=tuple(parts),
    )


def scores_of(
    anchors: Sequence[Tensor], labels: Tensor, rows: Rows, groups: ClassGroups, logits: Tensor | None = None
) -> Tensor:
    """Returns [2, K] as ``group_scores``, summed over anchors with labels of their own."""
    if not rows.parts:
        return group_scores(anchors, labels, rows, groups, logits)
    found = []
    for anchor, part in zip(anchors, rows.parts, strict=True):
        if isinstance(part.share, Tensor) or part.share:
            shared = replace(part.rows, weights=_shared(part.rows.weights, part.share))
            found.append(group_scores([anchor], part.labels, shared, groups))
    return torch.stack([scores.to(found[0].device) for scores in found]).sum(0)


def outside(rows: Rows) -> Rows:
    """Returns rows whose only group is what belongs to no group of these."""
    left = (1 - rows.weights.sum(-1, keepdim=True)).clamp(min=0)
    parts = tuple(
        replace(part, rows=outside(part.rows), terms=tuple((edge, outside(own)) for edge, own in part.terms))
        for part in rows.parts
    )
    return replace(rows, weights=left, parts=parts)


def _part(item: Labelled, groups: ClassGroups) -> AnchorRows:
    def rows(labels: Tensor, ignore_index: int) -> Rows:
        return group_rows(labels, groups, item.anchor, ignore_index, class_dim=item.class_dim)

    terms = tuple((term.edge, rows(term.labels, term.ignore_index)) for term in item.terms)
    return AnchorRows(rows(item.labels, item.ignore_index), item.labels, item.share, terms)


def _counts(part: AnchorRows) -> tuple[float, ...]:
    if not isinstance(part.share, Tensor):
        return tuple(count * part.share for count in part.rows.counts)
    shared = _shared(part.rows.weights, part.share).reshape(-1, part.rows.weights.shape[-1]).double().sum(0)
    return tuple(shared.tolist())


def _shared(weights: Tensor, share: float | Tensor) -> Tensor:
    """Returns [*R, K] weights times the share of each row."""
    if isinstance(share, Tensor) and share.ndim:
        share = share.to(weights).reshape(*weights.shape[:-1], 1)
    return weights * share
