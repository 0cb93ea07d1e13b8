"""Scores: the summed cross-entropy and the number of correct samples of each group, from the logits of the training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gradlens.batch.member_scores import member_scores
from gradlens.batch.rows import RowsByGroup, classes_within
from gradlens.groups import ClassGroups

# Logits with more entries are scored in pieces: a vocabulary has 50,000 classes, and the log-probabilities of a whole batch would
# need as much memory as its logits.
PIECE = 2**21


def group_scores(
    anchors: Sequence[Tensor], labels: Tensor, rows: RowsByGroup, groups: ClassGroups, logits: Tensor | None = None
) -> Tensor:
    """Returns [2, K] on the device: the summed cross-entropy of each group, and its number of correct samples.

    Soft labels count by class mass. All are NaN if there are no logits. The dtype is float64 (float32 on a device of type mps).

    Args:
        anchors: The first one of shape [*R, C] or [B, C, *R[1:]] holds the logits.
        labels: [*R] class ids, or class masses of the logits' shape.
        rows: Which rows belong to which group.
        groups: K groups over C classes.
        logits: [*R, c] logits of the first c classes, used instead of an anchor: the classifier does not know the other
            classes yet. Groups that are not made of classes do not tell C, so there only these hold the logits, or an anchor
            whose class dimension is known.
    """
    if groups.members is not None:
        return member_scores(anchors[0] if logits is None and rows.class_dim is not None else logits, labels, rows)
    with torch.no_grad():
        shape = rows.weights.shape[:-1]
        candidates = anchors if logits is None else [_widened(logits, groups.num_classes)]
        aligned = next(
            (
                a
                for anchor in candidates
                if (a := _classes_last(anchor, shape, groups.num_classes, rows.class_dim)) is not None
            ),
            None,
        )
        wide = torch.float32 if rows.weights.device.type == "mps" else torch.float64
        if aligned is None:
            return torch.full((2, len(groups)), torch.nan, dtype=wide, device=rows.weights.device)
        if labels.is_floating_point():
            last = labels if labels.shape[-1] == groups.num_classes and labels.ndim <= 2 else labels.movedim(1, -1)
            parts = [
                _soft(log_p, targets.to(aligned.device).reshape(-1, groups.num_classes), groups, wide)
                for log_p, targets in _log_probabilities(aligned, last.reshape(aligned.shape))
            ]
            return parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)
        mass = rows.weights.reshape(-1, len(groups)).to(wide)  # [N, K]
        ids = labels.to(aligned.device).reshape(aligned.shape[:-1]).long()
        found = [_of_rows(log_p, own.flatten()) for log_p, own in _log_probabilities(aligned, ids)]
        rows_of_both = (found[0] if len(found) == 1 else torch.cat(found, 1)).to(wide)  # [2, N]
        sums = rows_of_both @ mass  # [2, K]
        if sums.device.type == "cpu" and math.isfinite(sums.sum()):
            return sums
        # The loss of a row may be infinite or NaN, and 0 * NaN is NaN: it must not reach other groups.
        return torch.stack([torch.where(mass > 0, rows_of_both[0].unsqueeze(1) * mass, 0.0).sum(0), sums[1]])


def _log_probabilities(logits: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields the log-probabilities [n, C] of some rows after others, in pieces of about PIECE entries, with their labels.

    Args:
        logits: [*R, C].
        labels: [*R], or [*R, C]. A piece has their first dimension, in which the rows of the piece are.
    """
    if logits.numel() > PIECE and logits.is_contiguous():
        labels = labels.reshape(-1, *labels.shape[logits.ndim - 1 :])
        logits = logits.flatten(0, -2)
    whole = logits.numel() <= PIECE or logits.ndim == 1
    size = 0 if whole else max(PIECE // logits[0].numel(), 1)
    parts = [(logits, labels)] if whole else zip(torch.split(logits, size), torch.split(labels, size), strict=True)
    for part, own in parts:
        yield F.log_softmax(part.float(), -1).reshape(-1, logits.shape[-1]), own


def _of_rows(log_p: Tensor, ids: Tensor) -> Tensor:
    """Returns [2, n] the loss of each row, and whether its class is guessed."""
    loss = F.nll_loss(log_p, ids.clamp(0, log_p.shape[1] - 1), reduction="none")
    return torch.stack([loss, log_p.argmax(1) == ids])


def _soft(log_p: Tensor, targets: Tensor, groups: ClassGroups, wide: torch.dtype) -> Tensor:
    targets = targets.to(wide)  # [n, C]
    hit = (log_p.argmax(1) == targets.argmax(1)).to(wide)
    # A class of probability 0 and mass 0 adds nothing to the loss; 0 * infinity would be NaN.
    by_class = -torch.where(targets == 0, 0.0, targets * log_p.to(wide)).sum(0)  # [C]
    by_group = [list(ids) for ids in groups.classes]
    loss = torch.stack([by_class[ids].sum() for ids in by_group])
    correct = torch.stack([(hit @ targets[:, ids]).sum() for ids in by_group])
    return torch.stack([loss, correct])


def _widened(logits: Tensor, classes: int) -> Tensor:
    """Returns logits [*R, C]. A class without a column gets the logit -inf, which is probability 0."""
    missing = classes - logits.shape[-1]
    return F.pad(logits, (0, missing), value=-torch.inf) if missing > 0 else logits  # pad would copy


def _classes_last(logits: Tensor, rows: torch.Size, classes: int, class_dim: int | None) -> Tensor | None:
    """Returns the logits as [*R, C], or None if the tensor does not hold logits of C classes for these rows."""
    if logits.is_complex():
        return None
    if classes_within(logits.shape, rows, class_dim):
        logits = logits.movedim(1, -1)
    elif logits.shape[:-1] != rows:
        return None
    if class_dim is not None:  # these are logits for sure, perhaps without those of later classes
        logits = _widened(logits, classes)
    return logits if logits.shape[-1] == classes else None
