"""Evaluates a network on a split: accuracies, calibration, and what is mistaken for what. It takes one pass over the images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gradlens.groups import ClassGroups
from gradlens.longtail.data.counts import Counts
from gradlens.longtail.data.labelled_images import LabelledImages
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.processes import ALONE, Processes
from gradlens.longtail.training.accuracy import class_accuracies, mistaken, shot_accuracies
from gradlens.longtail.training.calibration import expected_calibration_error

BATCH = 500
SHOTS = ("many", "medium", "few", "overall")
NUMBERS = (*SHOTS, "balanced", "ece", "head_as_tail", "tail_as_head")


@dataclass(frozen=True)
class SplitEvaluation:
    """The result of an evaluation.

    Attributes:
        numbers: Those of ``NUMBERS`` that exist, in percent: top-1 accuracy of "many", "medium", "few" and "overall"; "balanced":
            mean of the class accuracies; "ece": expected calibration error; "head_as_tail" and "tail_as_head": part of the
            images of the head (tail) that are taken for a class of the tail (head). A group without images has none.
        per_class: [C] top-1 accuracy of each class in percent; NaN for a class without images.
    """

    numbers: dict[str, float]
    per_class: tuple[float, ...]


@torch.no_grad()
def evaluate(model: Network, images: LabelledImages, counts: Counts, processes: Processes = ALONE) -> SplitEvaluation:
    """Evaluates a network. Afterwards it is in eval mode.

    A classifier that only has the head classes is wrong on all images of the other classes. The confidence of a prediction is
    its softmax probability, whatever loss the network was trained with.

    Args:
        model: The network.
        images: Images to evaluate on.
        counts: [C] training images per class, which decide shots, head and tail.
        processes: They share the images, and all get the same result.
    """
    model.eval()
    total = len(images.labels)
    own = torch.arange(total)[processes.share(total)]
    batches = images.batches(own, BATCH, augmented=False) if len(own) else ()
    device = next(model.parameters()).device
    found = [_told(model(batch)) for batch, _ in batches]
    predictions = torch.cat([torch.zeros(0, dtype=torch.int64, device=device), *(told for told, _ in found)])
    confidences = torch.cat([torch.zeros(0, dtype=torch.float64, device=device), *(sure for _, sure in found)])
    return _described(
        processes.gather(predictions, total).cpu(), processes.gather(confidences, total).cpu(), images.labels, counts
    )


def _told(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Returns [B] predicted classes, and [B] their probabilities in float64."""
    return logits.argmax(1), logits.double().softmax(1).amax(1)


def _described(predictions: Tensor, confidences: Tensor, labels: Tensor, counts: Counts) -> SplitEvaluation:
    numbers = shot_accuracies(predictions, labels, counts)
    per_class = class_accuracies(predictions, labels, len(counts))
    known = per_class[~np.isnan(per_class)]
    numbers["balanced"] = float(known.mean()) if len(known) else float("nan")
    numbers["ece"] = expected_calibration_error(confidences, predictions == labels)
    if len(counts) > 1:  # head and tail need two classes
        found = mistaken(predictions, labels, ClassGroups.head_tail(counts))
        numbers |= {f"{group}_as_{other}": part for (group, other), part in found.items()}
    there = {name: value for name, value in numbers.items() if name == "overall" or not math.isnan(value)}
    return SplitEvaluation(there, tuple(per_class.tolist()))
