"""Class-balanced cross-entropy (Cui et al. 2019, "Class-balanced loss based on effective number of samples", Section 4.1).

Each sample is weighted by w_y = (1 - beta) / (1 - beta^n_y), scaled to a mean of 1 over the classes. Code differs in what divides
the weighted sum: the number of samples in Cui et al. (richardaecn/class-balanced-loss, src/cifar_main.py), the sum of their
weights in Cao et al. 2019 (kaidic/LDAM-DRW, ``weight=`` of PyTorch's cross-entropy). Most samples of a long-tailed set have small
weights, so at the same learning rate the first form takes smaller steps: a fifth at beta 0.9999 on CIFAR100-LT (imbalance 100).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch.nn.functional as F
from torch import Tensor

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.common import train_counts
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.parts.cifar_recipe import cifar_recipe
from gradlens.longtail.methods.parts.class_weights import class_balanced_weights
from gradlens.longtail.methods.single_phase import one_phase, ordinary
from gradlens.longtail.recipe.phases import Step
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.recipe.task import Task

CUI = "Cui et al. 2019, cifar_im_trainval_cb.sh"  # the file's own default is a factor of 0.1 at each step
BETA = Setting(
    0.9, "Cui et al. 2019 on CIFAR-100, and BagofTricks-LT (Zhang et al. 2021); their script for CIFAR-10 has 0.9999"
)


@dataclass(frozen=True)
class WeightedCrossEntropy:
    """Cross-entropy of samples that are weighted by their class.

    Attributes:
        weights: [C] weights.
        divisor: What divides the weighted sum: "samples" of the batch, or their "weights".
    """

    weights: Tensor
    divisor: str

    def __call__(self, step: Step) -> Tensor:
        """Returns the loss of the batch, a scalar."""
        weights = self.weights.to(step.logits)
        if self.divisor == "weights":
            return F.cross_entropy(step.logits, step.labels, weight=weights)
        return F.cross_entropy(step.logits, step.labels, weight=weights, reduction="sum") / len(step.labels)


def _recipe(method: str, task: Task, settings: Settings) -> Recipe:
    divisor = settings["divisor"]
    if divisor not in ("samples", "weights"):
        raise LongTailError(f"divisor={divisor!r}; choose 'samples' or 'weights'")
    weights = class_balanced_weights(train_counts(task), float(settings["beta"]))
    return one_phase(method, task, settings, WeightedCrossEntropy(weights, divisor))


CLASS_BALANCED_CE = Method(
    "cb-ce",
    "cross-entropy with class-balanced weights",
    {
        "beta": BETA,
        "divisor": Setting("samples", "Cui et al. 2019, cifar_main.py; 'weights' is that of Cao et al. 2019"),
        **ordinary("Cui et al. 2019"),
    },
    partial(_recipe, "cb-ce"),
    presets={"cifar100-lt": cifar_recipe(CUI)},
)
METHODS = (CLASS_BALANCED_CE,)
