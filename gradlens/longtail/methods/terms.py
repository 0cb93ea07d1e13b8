"""Loss terms of training steps."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from gradlens.longtail.recipe.phases import Step


def cross_entropy(step: Step) -> Tensor:
    """Mean cross-entropy of the batch over the classes that the classifier has (Equation 1)."""
    return F.cross_entropy(step.logits, step.labels)
