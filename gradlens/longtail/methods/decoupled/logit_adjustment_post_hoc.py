"""Logit adjustment after training (Menon et al. 2021, "Long-tail learning via logit adjustment", Section 4.1, Equation 9).

Stage 1 trains the network with cross-entropy. Stage 2 trains nothing: predictions are the largest z_j - tau log(pi_j + 1e-12),
with the class frequencies pi of the training images (google-research/logit_adjustment). tau is 1 there; ``tau=null`` chooses it
among ``taus`` by the accuracy on the task's first split.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gradlens.longtail.methods.common import check_images_of_classes, train_counts
from gradlens.longtail.methods.decoupled.choosing import TAUS, ClassifierWithTau, tau_values
from gradlens.longtail.methods.decoupled.two_stage import both_stages, stage_1, stage_1_settings
from gradlens.longtail.methods.logit_adjustment import SMALLEST, authors_recipes
from gradlens.longtail.methods.method import Method
from gradlens.longtail.recipe.learner import Learner
from gradlens.longtail.recipe.phases import TrainingPhase
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.recipe.task import Task


class PriorAdjusted(ClassifierWithTau):
    """A classifier with logits z - tau log(pi), where z are the logits of another classifier.

    Attributes:
        inner: The other classifier.
        log_priors: [C] log(pi + 1e-12).
    """

    log_priors: Tensor

    def __init__(self, inner: nn.Module, log_priors: Tensor, tau: float) -> None:
        """Makes a classifier that adjusts the logits of ``inner``. The attributes say what the arguments are."""
        super().__init__(tau)
        self.inner = inner
        self.register_buffer("log_priors", log_priors.clone())

    def forward(self, features: Tensor) -> Tensor:
        """Maps [B, d] features to [B, C] logits."""
        logits: Tensor = self.inner(features) - self.tau * self.log_priors
        return logits


@dataclass(frozen=True)
class AdjustLogits:
    """Replaces the classifier by one that adjusts its logits.

    Attributes:
        log_priors: [C] log(pi + 1e-12).
        tau: tau at first.
    """

    log_priors: Tensor
    tau: float

    def __call__(self, learner: Learner) -> None:
        """See ``LearnerChange``."""
        learner.model.classifier = PriorAdjusted(learner.model.classifier, self.log_priors, self.tau)


def _recipe(task: Task, settings: Settings) -> Recipe:
    check_images_of_classes("logit-adjustment-post-hoc", task)
    first = stage_1("logit-adjustment-post-hoc", task, settings)
    counts = train_counts(task)
    tau, tuning = tau_values(settings)
    structure = AdjustLogits(torch.log(counts / counts.sum() + SMALLEST).float(), tau)
    second = TrainingPhase("logit adjustment", 0, {}, structure=structure, tuning=tuning)
    return both_stages(first, second)


POST_HOC = Method(
    "logit-adjustment-post-hoc",
    "cross-entropy, then the log class frequencies are taken off the logits",
    {
        **stage_1_settings("Menon et al. 2021"),
        "nesterov": Setting(False, "gradlens: as in ce, so that it may begin with one; Menon et al. 2021 have it"),
        "stage_2_from": Setting("last", "Menon et al. 2021"),
        "tau": Setting(1.0, "Menon et al. 2021", float),
        "taus": Setting(TAUS, "gradlens: as for tau-norm (Kang et al. 2020)"),
    },
    _recipe,
    presets=authors_recipes(),
)
METHODS = (POST_HOC,)
