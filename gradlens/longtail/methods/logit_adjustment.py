"""Logit adjustment (Menon et al. 2021, "Long-tail learning via logit adjustment").

In training the log of the class frequencies is added to the logits. With tau = 1 this is the balanced softmax (Ren et al. 2020).
For predictions the logits are used without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from gradlens.longtail.methods.common import not_negative, train_counts
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.single_phase import one_phase, ordinary
from gradlens.longtail.recipe.phases import Step
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.recipe.task import Task

# As in google-research/logit_adjustment. With it a class without images has a finite logarithm.
SMALLEST = 1e-12


@dataclass(frozen=True)
class AdjustedCrossEntropy:
    """Mean cross-entropy of z + tau log(pi + 1e-12) over the batch, where z are the logits.

    Attributes:
        offsets: [C] tau log(pi + 1e-12), where pi are the class frequencies of the training images.
    """

    offsets: Tensor

    def __call__(self, step: Step) -> Tensor:
        """Returns the loss of the batch, a scalar."""
        return F.cross_entropy(step.logits + self.offsets.to(step.logits), step.labels)


def _recipe(method: str, task: Task, settings: Settings) -> Recipe:
    tau = not_negative(settings, "tau")
    counts = train_counts(task)
    offsets = tau * torch.log(counts / counts.sum() + SMALLEST)
    return one_phase(method, task, settings, AdjustedCrossEntropy(offsets))


LOGIT_ADJUSTMENT = Method(
    "logit-adjustment",
    "cross-entropy of logits with the log class frequencies added in training",
    {
        "tau": Setting(1.0, "Menon et al. 2021, both of their variants"),
        **ordinary("Menon et al. 2021"),
    },
    partial(_recipe, "logit-adjustment"),
)
METHODS = (LOGIT_ADJUSTMENT,)
