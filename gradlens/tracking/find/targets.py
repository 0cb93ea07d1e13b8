"""What the targets of a loss are: labels of classes, or something else (positions in a batch, a teacher's outputs, inputs)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gradlens.tracking.find.classifiers import classifier_of, has_outputs
from gradlens.tracking.find.sightings import Sighting
from gradlens.tracking.find.similarities import are_similarities

# Rows from which on labels 0, 1, 2, ... are no batch of one sample of each class.
POSITIONS = 8
# Most different amounts in a row of class masses: those of mixed and smoothed labels are few, those of a teacher all differ.
AMOUNTS = 6
# Of so few classes each row has few amounts; what varies continuously has more than this part of all entries different.
DIFFERENT = 0.75
# Rows and columns of targets that are looked at to tell whether they vary.
LOOKED_AT = 128
# How far different amounts are apart, relative to them.
APART = 1e-4
# How far equal masses may be apart.
ROUNDING = 1e-6
# The label of a row that all loss functions ignore.
IGNORED = -100


def contrasts(sighting: Sighting, known: frozenset[int] = frozenset(), refused: frozenset[int] = frozenset()) -> bool:
    """Says whether the labels of a loss call are positions in the batch: a contrastive loss, in which nothing is a class.

    They are the rows' own positions or these rotated (columns are the batch, or the batches of several processes); or all the
    same or all different, while no layer has made as many logits, or they are products of its outputs. A batch of one class, or
    of one sample of each, looks like that, too: but its logits come from a layer with an output for each class. Where that cannot
    be seen (a frozen layer), the first batch with other labels shows it.

    Args:
        sighting: The loss call.
        known: Ids of parameters of the layers whose logits had labels of classes in other batches.
        refused: The same of layers whose logits had positions for labels: of a small batch, nothing else tells.
    """
    anchor = sighting.anchor
    ids = _ids(sighting.labels)
    if anchor.ndim != 2 or ids is None or len(ids) != anchor.shape[0]:
        return False
    rows, columns = anchor.shape
    if rows < POSITIONS:
        layer = classifier_of(anchor) - known
        return bool(layer & refused) or (
            rows > 1 and bool((ids == 0).all()) and bool(layer) and are_similarities(anchor)
        )
    if columns % rows == 0:
        offset = ids - torch.arange(rows, device=ids.device, dtype=ids.dtype)
        if bool((offset == offset[0]).all()) or (columns == rows and bool((offset % rows == offset[0] % rows).all())):
            return True
    if classifier_of(anchor) & known or (has_outputs(anchor, columns) and not are_similarities(anchor)):
        return False
    different = len(set(ids.tolist()))
    # Without the similarity of a row to itself, one position comes twice.
    return different == 1 or (different >= rows - 1 and columns >= rows - 1)


def varies(masses: Tensor) -> bool:
    """Says whether targets [N, C] vary continuously, as no labels do: a teacher's outputs, an autoencoder's inputs.

    Labels that are mixed or smoothed have few amounts in each row, or, smoothed by class frequencies, in each column.
    """
    values = masses.detach()[:LOOKED_AT, :LOOKED_AT].float()
    rows, classes = values.shape
    if classes <= AMOUNTS:
        return rows >= AMOUNTS and _amounts(values.reshape(1, -1)) > DIFFERENT * rows * classes
    return _amounts(values) > AMOUNTS and _amounts(values.T) > min(AMOUNTS, rows // 2)


def hardened(masses: Tensor) -> Tensor:
    """Returns class ids [N] for one-hot masses [N, C], smoothed or not; other masses as they are.

    Smoothed are rows with one peak and a constant floor, the same in all rows. A column that is zero throughout (padding)
    has no floor, and a row of zeros is ignored.
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


def with_hard_labels(sighting: Sighting) -> Sighting:
    """Returns a loss call with class ids where its targets are smoothed by hand: as if torch had smoothed them."""
    labels = sighting.labels
    if not labels.is_floating_point() or labels.ndim != 2 or _is_one_hot(labels):
        return sighting
    ids = hardened(labels)
    return sighting if ids is labels else replace(sighting, labels=ids, ignore_index=IGNORED)


def is_taught(sighting: Sighting) -> bool:
    """Says whether the targets of a loss call are a teacher's outputs rather than labels."""
    labels = sighting.labels
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
    """Returns the most different amounts in a row."""
    ordered = values.sort(1).values
    steps = ordered[:, 1:] - ordered[:, :-1] > APART * ordered[:, 1:].abs()
    return int(steps.sum(1).max()) + 1 if steps.numel() else 1
