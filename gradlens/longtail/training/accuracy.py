"""Top-1 accuracy of each class, of groups of classes such as many, medium and few, and what is mistaken for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradlens.groups import ClassGroups


def class_accuracies(predictions: Tensor, labels: Tensor, num_classes: int) -> NDArray[np.float64]:
    """Returns [C] top-1 accuracy of each class in percent (its recall); NaN for a class without images.

    Their mean over the classes with images is the balanced accuracy.

    Args:
        predictions: [N] predicted class ids.
        labels: [N] true class ids.
        num_classes: C.
    """
    hits = torch.bincount(labels, weights=(predictions == labels).double(), minlength=num_classes)
    total = torch.bincount(labels, minlength=num_classes)
    return np.asarray((100 * hits / total).cpu().numpy())


def mistaken(predictions: Tensor, labels: Tensor, groups: ClassGroups) -> dict[tuple[str, str], float]:
    """Returns (group, other group) -> percent of the images of the first that are taken for a class of the second.

    Args:
        predictions: [N] predicted class ids.
        labels: [N] true class ids.
        groups: The groups of classes.

    Returns:
        The percentages; NaN for a group without images.
    """
    of_class = torch.from_numpy(groups.of_class())
    true, told = of_class[labels.cpu()].numpy(), of_class[predictions.cpu()].numpy()
    with np.errstate(invalid="ignore"):
        return {
            (a, b): float(100 * ((true == i) & (told == j)).sum() / np.float64((true == i).sum()))
            for i, a in enumerate(groups.names)
            for j, b in enumerate(groups.names)
            if i != j
        }


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
