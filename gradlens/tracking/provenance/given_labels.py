"""Reads the labels that a loss was given: class ids, one-hot or multi-hot masses, or the thresholds of ordinal regression."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gradlens.batch.rows import rows_around_classes


@dataclass(frozen=True)
class GivenLabels:
    """Labels of the rows of a prediction.

    Attributes:
        labels: [*R] class ids, or [B, C, ...] class masses.
        classes: C, if the form of labels and prediction tells it; otherwise None.
        class_dim: The dimension of the prediction that holds the classes, if it is known.
        ranks: Whether the ids are numbers of thresholds.
    """

    labels: Tensor
    classes: int | None = None
    class_dim: int | None = None
    ranks: bool = False


def readings(target: Tensor, prediction: Tensor) -> list[GivenLabels]:
    """Returns what a target beside a prediction may mean, the most usual first; nothing if it holds no classes.

    Zeros and ones have two meanings: a mark for each class, or, if in each row all ones come first, the thresholds below a rank.

    Args:
        target: Class ids [B], [B, 1], [B, *R] or [B, 1, *R]; zeros and ones of the prediction's shape [B, C, ...]; thresholds
            [B, C - 1] of ordinal regression.
        prediction: The tensor whose rows the target belongs to.
    """
    target = target.detach()
    if target.ndim == 0 or prediction.ndim == 0 or target.is_complex() or len(target) != len(prediction):
        return []
    marks = bool(((target == 0) | (target == 1)).all())
    if marks and target.ndim >= 2 and target.shape[1] > 1 and target.shape == prediction.shape:
        return _marks(target.to(torch.float32))
    if target.is_floating_point() and not (marks and prediction.numel() == target.numel()):
        return []
    return _ids(target, prediction)


def came_from(labels: Tensor, source: Tensor) -> bool:
    """Says whether labels are those of a batch: all of them, a part, or all several times (views).

    Args:
        labels: The labels that a loss was given, class ids or masses.
        source: The labels of a batch, in the same form.
    """
    a, b = labels.detach().cpu(), source.detach().cpu()
    if a.is_floating_point() != b.is_floating_point() or a.shape[1:] != b.shape[1:] or not len(a) or not len(b):
        return False
    a, b, n, m = a.to(torch.float64), b.to(torch.float64), len(a), len(b)
    if n > m:
        tiled = b.repeat(n // m, *(1,) * (b.ndim - 1))
        return n % m == 0 and (torch.equal(a, tiled) or torch.equal(a, b.repeat_interleave(n // m, 0)))
    return any(torch.equal(a, b[at : at + n]) for at in range(m - n + 1) if bool((a[0] == b[at]).all()))


def _marks(masses: Tensor) -> list[GivenLabels]:
    found: list[GivenLabels] = []
    classes, several = masses.shape[1], masses.ndim > 2
    if bool((masses.sum(1) == 1).all()):
        found.append(GivenLabels(masses.argmax(1), classes, 1 if several else None))
    if not several and bool((masses[:, 1:] <= masses[:, :-1]).all()):
        found.append(GivenLabels(masses.sum(1).long(), classes + 1, ranks=True))
    return found or [GivenLabels(masses, classes, 1)]


def _ids(target: Tensor, prediction: Tensor) -> list[GivenLabels]:
    ids = target.long()
    if ids.ndim >= 2 and ids.shape[1] == 1 and ids.ndim in (2, prediction.ndim):
        ids = ids.squeeze(1)  # [B, 1], or [B, 1, *R] beside a prediction [B, C, *R]
    if ids.ndim == 1:
        return [GivenLabels(ids, 2 if target.is_floating_point() else None)]
    if rows_around_classes(prediction.shape, ids.shape):
        return [GivenLabels(ids, max(prediction.shape[1], 2), 1)]
    return []
