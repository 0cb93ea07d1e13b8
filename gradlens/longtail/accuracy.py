"""Top-1 accuracy of the shots: many, medium, few and overall."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradlens.groups import ClassGroups


def shot_accuracies(
    predictions: Tensor, labels: Tensor, train_counts: Sequence[int] | NDArray[Any]
) -> dict[str, float]:
    """Returns top-1 accuracy in percent of the test images of each shot, and of all of them under "overall".

    Args:
        predictions: [N] predicted class ids.
        labels: [N] true class ids.
        train_counts: [C] training images per class, which decide the shots (many > 100, medium, few < 20).

    Returns:
        Keys "many", "medium", "few" (those that have classes) and "overall"; NaN where a shot has no test image.
    """
    correct = (predictions == labels).double()
    classes = len(train_counts)
    hits = torch.bincount(labels, weights=correct, minlength=classes).cpu().numpy()  # [C]
    total = torch.bincount(labels, minlength=classes).cpu().numpy()  # [C]
    shots = ClassGroups.shots(train_counts)
    selections = {name: list(ids) for name, ids in zip(shots.names, shots.classes, strict=True)} | {
        "overall": list(range(classes))
    }
    with np.errstate(invalid="ignore"):
        return {name: float(100 * hits[ids].sum() / total[ids].sum()) for name, ids in selections.items()}
