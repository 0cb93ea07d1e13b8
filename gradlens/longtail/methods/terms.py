"""Loss terms of training steps."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from gradlens.longtail.recipe.phases import Step


def cross_entropy(step: Step) -> Tensor:
    """Returns the mean cross-entropy of the batch, a scalar, over the classes of the present classifier (Equation 1)."""
    return F.cross_entropy(step.logits, step.labels)
