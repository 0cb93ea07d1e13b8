"""The focal loss in its softmax form (Lin et al. 2017, "Focal loss for dense object detection", Equation 4).

L = (1 - p_y)^gamma (-log p_y), where p are the softmax probabilities, and the mean over the batch. Lin et al. define it for a
binary classifier. The softmax form is that of Cao et al. 2019 (kaidic/LDAM-DRW, losses.py); without class weights it is this
formula. Numbers named "Focal" in tables of CIFAR100-LT are mostly of the sigmoid form (Cui et al. 2019), so not of this method.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from gradlens.longtail.methods.common import check_classes, not_negative
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.parts.cifar_recipe import cifar_recipe
from gradlens.longtail.methods.single_phase import one_phase, ordinary
from gradlens.longtail.recipe.phases import Step
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.recipe.task import Task


@dataclass(frozen=True)
class SoftmaxFocal:
    """Mean of (1 - p_y)^gamma (-log p_y) over the batch. The gradient flows through the factor as well.

    Attributes:
        gamma: 0 gives cross-entropy.
    """

    gamma: float

    def __call__(self, step: Step) -> Tensor:
        """Returns the loss of the batch, a scalar."""
        logits = step.logits
        others = logits.scatter(1, step.labels[:, None], -torch.inf).logsumexp(1)  # [B]
        # (1 - p)^gamma from log(1 - p): at p = 1 the gradient of a power below 1 is infinite.
        factor = torch.exp(self.gamma * (others - logits.logsumexp(1)))
        return (factor * F.cross_entropy(logits, step.labels, reduction="none")).mean()


def _recipe(method: str, task: Task, settings: Settings) -> Recipe:
    check_classes(method, task)  # with one class log(1 - p) is -inf
    return one_phase(method, task, settings, SoftmaxFocal(not_negative(settings, "gamma")))


FOCAL = Method(
    "focal",
    "focal loss, softmax form: well-classified samples count less",
    {
        "gamma": Setting(1.0, "Cao et al. 2019, losses.py; Lin et al. 2017 take 2 for detection"),
        **ordinary("Cao et al. 2019"),
    },
    partial(_recipe, "focal"),
    presets={"cifar100-lt": cifar_recipe("Cao et al. 2019, cifar_train.py")},
)
METHODS = (FOCAL,)
