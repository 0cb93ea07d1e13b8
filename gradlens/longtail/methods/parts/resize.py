"""Makes classifiers with fewer or more classes: truncated to the head, or extended by imprinting (paper, Section 3.2)."""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.parts.cosine import CosineClassifier

Classifier = TypeVar("Classifier", nn.Linear, CosineClassifier)


def truncated(classifier: Classifier, num_classes: int) -> Classifier:
    """Returns a new classifier with the first ``num_classes`` classes: W_c^1 of Equation 1.

    Args:
        classifier: Linear or cosine classifier of C classes. It is not changed.
        num_classes: C1.

    Raises:
        LongTailError: C1 is outside 1..C.
    """
    old = classifier.weight.shape[0]
    if not 1 <= num_classes <= old:
        raise LongTailError(f"cannot truncate {old} classes to {num_classes}; give 1..{old}")
    return _rebuilt(classifier, classifier.weight.detach()[:num_classes], new_classes=0)


def extended(
    classifier: Classifier, num_classes: int, means: Tensor | None = None, generator: torch.Generator | None = None
) -> Classifier:
    """Returns a new classifier: first the classes of ``classifier``, then new ones. All its weights are trained.

    New weights get the mean length of the old ones, so that all classes learn at the same speed. If only directions matter,
    a gradient step turns a weight by an angle that falls with the square of its length.

    Args:
        classifier: Linear or cosine classifier of C1 classes. It is not changed.
        num_classes: C.
        means: [C - C1, d] mean features of the new classes. The new weights get their directions (imprinting, Qi et al.
            2018); None = random directions.
        generator: Source of the random directions, on the CPU.

    Raises:
        LongTailError: C is below C1, or the means have another shape.
    """
    weight = classifier.weight.detach()
    new = num_classes - weight.shape[0]
    if new < 0:
        raise LongTailError(f"cannot extend {weight.shape[0]} classes to {num_classes}; truncate instead")
    shape = (new, weight.shape[1])
    if means is not None and tuple(means.shape) != shape:
        raise LongTailError(f"means have the shape {tuple(means.shape)}; {new} new classes need {shape}")
    directions = torch.randn(shape, generator=generator) if means is None else means.detach()
    imprinted = F.normalize(directions.to(weight), dim=1) * weight.norm(dim=1).mean()
    return _rebuilt(classifier, torch.cat([weight, imprinted]), new_classes=new)


def _rebuilt(classifier: Classifier, weight: Tensor, new_classes: int) -> Classifier:
    """Returns a classifier of the same kind with ``weight`` [C, d]. The new biases of a linear classifier are 0."""
    classes, features = weight.shape
    if isinstance(classifier, CosineClassifier):
        cosine = CosineClassifier(features, classes).to(weight)
        cosine.weight.data.copy_(weight)
        cosine.scale.data.copy_(classifier.scale.detach())
        return cosine
    linear = nn.Linear(features, classes, bias=classifier.bias is not None).to(weight)
    linear.weight.data.copy_(weight)
    if classifier.bias is not None:
        kept = classifier.bias.detach()[: classes - new_classes]
        linear.bias.data.copy_(torch.cat([kept, kept.new_zeros(new_classes)]))
    return linear
