"""tau-normalised classifier (Kang et al. 2020, "Decoupling representation and classifier", Section 4).

Stage 1 trains the network with cross-entropy. Stage 2 trains nothing: the classifier's weights become w_j / |w_j|^tau, without
the bias (facebookresearch/classifier-balancing, tau_norm.py; ``bias=true`` keeps it, as BagofTricks-LT does). tau is that of
``taus`` with the highest accuracy on the task's first split; the reference prints all of them, and the choice is made by hand,
on iNaturalist on the test images (issue 5 of its repository). A given ``tau`` is taken as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens.longtail.methods.decoupled.choosing import TAUS, ClassifierWithTau, tau_values
from gradlens.longtail.methods.decoupled.two_stage import (
    BAG,
    bag_of_tricks_stage_1,
    both_stages,
    kang_presets,
    stage_1,
    stage_1_settings,
)
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.parts.photos_recipe import KANG
from gradlens.longtail.recipe.learner import Learner
from gradlens.longtail.recipe.phases import TrainingPhase
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings, settings_from
from gradlens.longtail.recipe.task import Task


class TauNormalised(ClassifierWithTau):
    """A linear classifier with the weights w_j / |w_j|^tau. At tau = 0 they are w, at 1 all have unit length.

    Attributes:
        weight: [C, d] w.
        bias: [C], or None.
    """

    def __init__(self, linear: nn.Linear, tau: float, bias: bool) -> None:
        """Takes the weights of a linear classifier.

        Args:
            linear: The classifier.
            tau: tau.
            bias: True to keep its bias.
        """
        super().__init__(tau)
        self.weight, self.bias = linear.weight, linear.bias if bias else None

    def forward(self, features: Tensor) -> Tensor:
        """Maps [B, d] features to [B, C] logits."""
        lengths = self.weight.norm(dim=1, keepdim=True).clamp_min(torch.finfo(self.weight.dtype).tiny)
        return F.linear(features, self.weight / lengths**self.tau, self.bias)


@dataclass(frozen=True)
class TauNormalise:
    """Replaces the classifier by a tau-normalised one.

    Attributes:
        tau: tau at first.
        bias: True to keep the bias.
    """

    tau: float
    bias: bool

    def __call__(self, learner: Learner) -> None:
        """See ``LearnerChange``."""
        learner.model.classifier = TauNormalised(cast(nn.Linear, learner.model.classifier), self.tau, self.bias)


def _recipe(task: Task, settings: Settings) -> Recipe:
    first = stage_1("tau-norm", task, settings)
    tau, tuning = tau_values(settings)
    structure = TauNormalise(tau, settings["bias"])
    second = TrainingPhase("tau-normalisation", 0, {}, structure=structure, tuning=tuning)
    return both_stages(first, second)


TAU_NORM = Method(
    "tau-norm",
    "cross-entropy, then the lengths of the classifier's weights are evened out",
    {
        **stage_1_settings(KANG),
        "tau": Setting(None, f"{KANG}, tau_norm.py: chosen among `taus`", float),
        "taus": Setting(TAUS, f"{KANG}, tau_norm.py"),
        "bias": Setting(False, f"{KANG}, tau_norm.py: without the bias"),
    },
    _recipe,
    presets={
        "cifar100-lt-bag-of-tricks": bag_of_tricks_stage_1()
        | settings_from(BAG, tau=1.0, bias=True, stage_2_from="best")
    }
    | kang_presets(),
)
METHODS = (TAU_NORM,)
