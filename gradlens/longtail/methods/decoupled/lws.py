"""LWS: learnable weight scaling (Kang et al. 2020, "Decoupling representation and classifier", Section 4).

Stage 1 trains the network with cross-entropy. Stage 2 learns a scale for the logits of each class, and nothing else, on images
that are drawn evenly from the classes. All else is as in ``crt``.
"""

from __future__ import annotations

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
from gradlens.longtail.methods.parts.scaled import ScaledClassifier
from gradlens.longtail.recipe.learner import Learner
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.recipe.task import Task


def scaled_classifier(learner: Learner) -> None:
    """Gives each class of the present classifier a scale of 1."""
    model = learner.model
    model.classifier = ScaledClassifier(model.classifier, learner.num_classes).to(next(model.parameters()))


def _recipe(task: Task, settings: Settings) -> Recipe:
    first = stage_1("lws", task, settings)
    second = stage_2(task, settings, scaled_classifier, trainable=("classifier.scales",))
    return both_stages(first, second)


LWS = Method(
    "lws",
    "cross-entropy, then a scale for each class on the frozen network, with class-balanced sampling",
    kang_settings(Setting(5, f"{KANG}, on all three data sets")),
    _recipe,
    presets=bag_of_tricks() | kang_presets(),
)
METHODS = (LWS,)
