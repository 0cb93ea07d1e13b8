"""Finds out what the targets of a loss are: classes, or something else (positions in the batch, a teacher's outputs, inputs)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gradlens.tracking.find.classifiers import classifier_of, has_outputs
from gradlens.tracking.find.loss_calls import LossCall
from gradlens.tracking.find.similarities import are_similarities

# In a batch of at least this many rows, labels 0, 1, 2, ... are positions, not one sample of each class.
POSITIONS = 8
# A row of mixed or smoothed labels has at most this many different values. All values of a teacher's row are different.
AMOUNTS = 6
# If there are at most AMOUNTS classes, every row has few values. Then targets vary continuously if more than this part of all
# entries is different.
DIFFERENT = 0.75
# At most this many rows and columns of targets are looked at to see whether they vary.
LOOKED_AT = 128
# Two values are different if their relative difference is larger than this.
APART = 1e-4
# Two masses are equal if their difference is at most this.
ROUNDING = 1e-6
# The label of a row that all loss functions ignore.
IGNORED = -100


def contrasts(call: LossCall, known: frozenset[int] = frozenset(), refused: frozenset[int] = frozenset()) -> bool:
    """Says whether the labels of a loss call are positions in the batch: a contrastive loss, which has no classes.

    Labels are positions in two cases:

    - They are the rows' own positions, maybe rotated (the columns are the batch, or the batches of several processes).
    - They are all the same or all different, and the logits are no outputs of a layer with one output for each column.

    A batch of one class, or of one sample of each class, looks like the second case, but its logits come from such a layer. If
    the layer cannot be seen (it is frozen), the first batch with other labels shows that they are classes.

    Args:
        call: The loss call.
        known: Ids of the parameters of layers whose logits had classes as labels in other batches.
        refused: Ids of the parameters of layers whose logits had positions as labels. Small batches are decided by these.
    """
    anchor = call.anchor
    ids = _ids(call.labels)
    if anchor.ndim != 2 or ids is None or len(ids) != anchor.shape[0]:
        return False
    rows, columns = anchor.shape
    if rows < POSITIONS:
        layer = classifier_of(anchor) - known
        return bool(layer & refused) or (
            rows > 1 and (bool((ids == 0).all()) or _are_own(ids, columns)) and bool(layer) and are_similarities(anchor)
        )
    if _are_own(ids, columns):
        return True
    if classifier_of(anchor) & known or (has_outputs(anchor, columns) and not are_similarities(anchor)):
        return False
    different = len(set(ids.tolist()))
    # If a row is not compared with itself, one position comes twice.
    return different == 1 or (different >= rows - 1 and columns >= rows - 1)


def _are_own(ids: Tensor, columns: int) -> bool:
    """Says whether labels are the rows' own positions among the columns, maybe rotated."""
    rows = len(ids)
    if columns % rows != 0:
        return False
    offset = ids - torch.arange(rows, device=ids.device, dtype=ids.dtype)
    return bool((offset == offset[0]).all()) or (columns == rows and bool((offset % rows == offset[0] % rows).all()))


def varies(masses: Tensor) -> bool:
    """Says whether targets [N, C] vary continuously: a teacher's outputs or an autoencoder's inputs, and no labels.

    Mixed and smoothed labels have few different values in each row. Labels smoothed by class frequencies have few in each
    column.
    """
    values = masses.detach()[:LOOKED_AT, :LOOKED_AT].float()
    rows, classes = values.shape
    if classes <= AMOUNTS:
        return rows >= AMOUNTS and _amounts(values.reshape(1, -1)) > DIFFERENT * rows * classes
    return _amounts(values) > AMOUNTS and _amounts(values.T) > min(AMOUNTS, rows // 2)


def hardened(masses: Tensor) -> Tensor:
    """Returns class ids [N] for one-hot masses [N, C], smoothed or not; other masses as they are.

    Masses are smoothed if each row has one peak and a constant floor, and both are the same in all rows. A column of zeros
    (padding) has no floor. A row of zeros is ignored.
    """
    values = masses.detach()
    kept = values.abs().sum(1) > 0
    used = values[kept][:, values.abs().sum(0) > 0]
    if used.shape[0] == 0 or used.shape[1] < 2:
        return masses
    top = used.topk(2, 1).values
    peak, floor = top[0, 0], top[0, 1]
    others = used.sum(1) - top[:, 0]
    smooth = (
        peak > floor
        and bool(((top - top[0]).abs() <= ROUNDING).all())
        and bool(((used.amin(1) - floor).abs() <= ROUNDING).all())
        and bool(((others - floor * (used.shape[1] - 1)).abs() <= ROUNDING * used.shape[1]).all())
    )
    if not smooth:
        return masses
    return torch.where(kept, values.argmax(1), IGNORED)


def with_hard_labels(call: LossCall) -> LossCall:
    """Returns the loss call with class ids if its targets were smoothed by hand, and with masses for lists of classes."""
    labels = call.labels
    if call.function == "multilabel_margin_loss":
        return replace(call, labels=_marks(labels))
    if not labels.is_floating_point() or labels.ndim != 2 or _is_one_hot(labels):
        return call
    ids = hardened(labels)
    return call if ids is labels else replace(call, labels=ids, ignore_index=IGNORED)


def _marks(lists: Tensor) -> Tensor:
    """Returns masses [*B, C] for lists of class ids [*B, C], each of which ends before the first negative number."""
    own = (lists >= 0).long().cumprod(-1)
    counted = torch.zeros(lists.shape, device=lists.device)
    return counted.scatter_add(-1, lists.detach().clamp(min=0), own.float()).clamp(max=1)


def is_taught(call: LossCall) -> bool:
    """Says whether the targets of a loss call are a teacher's outputs rather than labels."""
    labels = call.labels
    if not labels.is_floating_point() or labels.ndim < 2:
        return False
    return varies(labels.movedim(1, -1).reshape(-1, labels.shape[1]))


def cumulative(masses: Tensor) -> bool:
    """Says whether zeros and ones [N, C] are the thresholds below each sample's rank (ordinal regression)."""
    if masses.shape[1] < 3 or len(masses) < POSITIONS:
        return False
    falls = bool((masses[:, 1:] <= masses[:, :-1]).all())
    return falls and len(set(masses.sum(1).tolist())) > 2


def _ids(labels: Tensor) -> Tensor | None:
    """Returns [B] class ids of labels, or of one-hot masses [B, C]; None for anything else."""
    if not labels.is_floating_point():
        return labels.detach() if labels.ndim == 1 else None
    return labels.detach().argmax(1) if labels.ndim == 2 and _is_one_hot(labels) else None


def _is_one_hot(masses: Tensor) -> bool:
    return bool(((masses == 0) | (masses == 1)).all() & (masses.sum(1) == 1).all())


def _amounts(values: Tensor) -> int:
    """Returns the largest number of different values in a row."""
    ordered = values.sort(1).values
    steps = ordered[:, 1:] - ordered[:, :-1] > APART * ordered[:, 1:].abs()
    return int(steps.sum(1).max()) + 1 if steps.numel() else 1
