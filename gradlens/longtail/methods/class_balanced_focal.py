"""Class-balanced focal loss (Cui et al. 2019, "Class-balanced loss based on effective number of samples", Section 4.3).

Each class is a binary classifier with s = sigmoid(z). The loss of a sample is w_y times the sum over all classes of m BCE, with
m = (1 - s)^gamma for the true class and s^gamma for the others; the sum over the batch is divided by its number of samples. The
weights are those of ``cb-ce``. As in their code (richardaecn/class-balanced-loss, src/cifar_main.py and src/model_base.py) the
classifier starts with a bias of -log(C - 1) and Glorot-uniform weights. Predictions are the largest logit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens.longtail.methods.class_balanced_ce import BETA, CUI
from gradlens.longtail.methods.common import check_classes, not_negative, train_counts
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.parts.cifar_recipe import cifar_recipe
from gradlens.longtail.methods.parts.class_weights import class_balanced_weights
from gradlens.longtail.methods.single_phase import later_settings, one_phase
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.phases import Step
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings, settings_from
from gradlens.longtail.recipe.task import Task


@dataclass(frozen=True)
class SigmoidFocal:
    """Class-weighted sum over the classes of the binary focal losses, and its mean over the batch.

    Attributes:
        weights: [C] weights; that of a sample's true class counts.
        gamma: 0 gives binary cross-entropy.
    """

    weights: Tensor
    gamma: float

    def __call__(self, step: Step) -> Tensor:
        """Returns the loss of the batch, a scalar."""
        true = torch.zeros_like(step.logits).scatter(1, step.labels[:, None], 1)  # [B, C] one-hot
        # One minus the probability of the right answer, to the power of gamma. It is computed from its logarithm, as in the
        # reference: the gradient of a power below 1 is infinite at 0.
        factor = torch.exp(-self.gamma * (true * step.logits + F.softplus(-step.logits)))
        each = (factor * F.binary_cross_entropy_with_logits(step.logits, true, reduction="none")).sum(1)  # [B]
        return (self.weights.to(step.logits)[step.labels] * each).mean()


def _network(task: Task, settings: Settings) -> Network:
    network = task.network(settings, False)
    classifier = cast(nn.Linear, network.classifier)
    nn.init.xavier_uniform_(classifier.weight)
    nn.init.constant_(classifier.bias, -math.log(task.num_classes - 1))
    return network


def _recipe(method: str, task: Task, settings: Settings) -> Recipe:
    check_classes(method, task)  # with one class the first bias is infinite
    weights = class_balanced_weights(train_counts(task), float(settings["beta"]))
    loss = SigmoidFocal(weights, not_negative(settings, "gamma"))
    return one_phase(method, task, settings, loss, network=partial(_network, task, settings))


_INAT = "Cui et al. 2019, code: tpu/run_inat2018.sh"
_MAIN = "Cui et al. 2019, code: tpu/models/official/resnet/resnet_main.py"
CLASS_BALANCED_FOCAL = Method(
    "cb-focal",
    "focal loss, sigmoid form, with class-balanced weights",
    {
        "beta": BETA,
        "gamma": Setting(1.0, "Cui et al. 2019, the script of CIFAR-10; 0.5 for iNaturalist 2018"),
        "sampler": Setting("shuffled", "Cui et al. 2019"),
        "compute": Setting(1, "gradlens: multiple of the epochs"),
        **later_settings("Cui et al. 2019"),
        "bias_decay": Setting(
            None, "gradlens: as of all weights, so that older trainings go on; Cui et al. have 0", float
        ),
    },
    partial(_recipe, "cb-focal"),
    approximate="weight decay acts on the classifier's bias too, which Cui et al. leave out (bias_decay=0 does as well)",
    presets={
        "cifar100-lt": cifar_recipe(CUI, bias_decay=0.0),
        "inaturalist2018": settings_from(
            _INAT, backbone="resnet-50", batch=1024, beta=0.999, gamma=0.5, weight_decay=1e-4, bias_decay=0.0
        )
        | settings_from(
            f"{_MAIN}: LR_SCHEDULE",
            epochs=90,
            schedule="steps",
            steps_at=(1 / 3, 2 / 3, 8 / 9),
            steps_by=0.1,
            warm_up=5,
        )
        | {
            "learning_rate": Setting(1.6, f"{_INAT}: 0.4 for a batch of 256, which the code scales to 1024"),
            "nesterov": Setting(True, _MAIN),
        },
    },
)
METHODS = (CLASS_BALANCED_FOCAL,)
