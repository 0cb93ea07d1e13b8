"""Top-1 accuracy of groups of classes, such as many, medium and few, and of all classes together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradlens.groups import ClassGroups


def group_accuracies(predictions: Tensor, labels: Tensor, groups: ClassGroups) -> dict[str, float]:
    """Returns the top-1 accuracy in percent of each group, and of all images as "overall".

    Args:
        predictions: [N] predicted class ids.
        labels: [N] true class ids.
        groups: The groups of classes.

    Returns:
        Name -> accuracy for each group and "overall"; NaN if there are no images.
    """
    classes = groups.num_classes
    hits = torch.bincount(labels, weights=(predictions == labels).double(), minlength=classes).cpu().numpy()  # [C]
    total = torch.bincount(labels, minlength=classes).cpu().numpy()  # [C]
    members = {name: list(ids) for name, ids in zip(groups.names, groups.classes, strict=True)}
    with np.errstate(invalid="ignore"):
        return {
            name: float(100 * hits[ids].sum() / total[ids].sum())
            for name, ids in {**members, "overall": list(range(classes))}.items()
        }


def shot_accuracies(
    predictions: Tensor, labels: Tensor, train_counts: Sequence[int] | NDArray[Any]
) -> dict[str, float]:
    """Returns the accuracies in percent of "many" (> 100 training images), "medium", "few" (< 20) and "overall".

    Args:
        predictions: [N] predicted class ids.
        labels: [N] true class ids.
        train_counts: [C] training images per class, which decide the shots.
    """
    return group_accuracies(predictions, labels, ClassGroups.shots(train_counts))
