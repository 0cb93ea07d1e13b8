"""NCM: the nearest class mean (Kang et al. 2020, "Decoupling representation and classifier", Section 4).

Stage 1 trains the network with cross-entropy. Stage 2 trains nothing: with the mean m of the features of all training images,
made in eval mode without augmentation, u = (f - m) / |f - m|, and c_j is the mean of u over class j. The scores are
-|u - c_j|^2. This is the default of the code (facebookresearch/classifier-balancing, models/KNNClassifier.py: "cl2n", "l2"): m
weighs head classes more, and c_j is not of unit length. The paper's text has no m.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens.longtail.methods.common import check_images_of_classes
from gradlens.longtail.methods.decoupled.two_stage import both_stages, kang_presets, stage_1, stage_1_settings
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.parts.photos_recipe import KANG
from gradlens.longtail.methods.parts.prototypes import class_prototypes
from gradlens.longtail.recipe.learner import Learner
from gradlens.longtail.recipe.phases import TrainingPhase
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Settings
from gradlens.longtail.recipe.task import Task


class NearestMean(nn.Module):
    """A classifier with the scores -|u - c_j|^2, where u is the feature less m, in unit length. It has no parameters.

    Attributes:
        centre: [d] m, the mean of all training features.
        means: [C, d] c, the mean of u over each class.
    """

    centre: Tensor
    means: Tensor

    def __init__(self, features: int, num_classes: int) -> None:
        """Makes a classifier whose means are 0.

        Args:
            features: d.
            num_classes: C.
        """
        super().__init__()
        self.register_buffer("centre", torch.zeros(features))
        self.register_buffer("means", torch.zeros(num_classes, features))

    def set_means(self, features: Tensor, labels: Tensor) -> None:
        """Sets the means to those of [n, d] features with [n] labels."""
        self.centre.copy_(features.mean(0))
        self.means.copy_(class_prototypes(features - self.centre, labels, len(self.means)))

    def forward(self, features: Tensor) -> Tensor:
        """Maps [B, d] features to [B, C] scores."""
        units = F.normalize(features - self.centre, dim=1)
        return 2 * units @ self.means.T - (units * units).sum(1, keepdim=True) - (self.means * self.means).sum(1)


def nearest_mean(learner: Learner) -> None:
    """Replaces the classifier."""
    model = learner.model
    model.classifier = NearestMean(model.features, learner.num_classes).to(next(model.parameters()))


def set_means(learner: Learner) -> None:
    """Sets the classifier's means to those of all training images."""
    features = learner.features(torch.arange(len(learner.train.labels)))
    cast(NearestMean, learner.model.classifier).set_means(features, learner.train.labels.to(learner.device))


def _recipe(task: Task, settings: Settings) -> Recipe:
    check_images_of_classes("ncm", task)
    first = stage_1("ncm", task, settings)
    second = TrainingPhase("nearest class mean", 0, {}, structure=nearest_mean, initialise=set_means)
    return both_stages(first, second)


NCM = Method(
    "ncm",
    "cross-entropy, then the nearest class mean of centred features",
    stage_1_settings(KANG),
    _recipe,
    presets=kang_presets(),
)
METHODS = (NCM,)
