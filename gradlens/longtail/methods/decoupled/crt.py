"""cRT: classifier re-training (Kang et al. 2020, "Decoupling representation and classifier", Section 4).

Stage 1 trains the network with cross-entropy. Stage 2 puts a new linear classifier on it and trains that alone, on images that
are drawn evenly from the classes. As in the reference code (facebookresearch/classifier-balancing, run_networks.py and
config/*/cls_crt.yaml) the frozen network stays in train mode, so that the statistics of its BatchNorm move;
``moving_statistics=false`` keeps it in eval mode.
"""

from __future__ import annotations

from torch import nn

from gradlens.longtail.methods.decoupled.two_stage import (
    bag_of_tricks,
    both_stages,
    kang_presets,
    kang_settings,
    stage_1,
    stage_2,
)
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.parts.photos_recipe import KANG
from gradlens.longtail.recipe.learner import Learner
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.recipe.task import Task


def new_classifier(learner: Learner) -> None:
    """Puts a linear classifier with PyTorch's default initialisation on the network."""
    model = learner.model
    like = next(model.parameters())
    model.classifier = nn.Linear(model.features, learner.num_classes, dtype=like.dtype)


def _recipe(task: Task, settings: Settings) -> Recipe:
    first = stage_1("crt", task, settings)
    return both_stages(first, stage_2(task, settings, new_classifier))


CRT = Method(
    "crt",
    "cross-entropy, then a new classifier on the frozen network, with class-balanced sampling",
    kang_settings(Setting(10, f"{KANG}, on ImageNet-LT and Places-LT; 30 on iNaturalist 2018")),
    _recipe,
    presets=bag_of_tricks() | kang_presets(epochs_2=30),
)
METHODS = (CRT,)
