"""Cross-entropy and the lifted structured loss (Song et al. 2016), the column "Lifted Loss" of tables since OLTR.

Batches have four images of each class. The margin is that of zhmiao/OpenLongTailRecognition-OLTR, whose history has a file
loss/LiftedStructuredLoss.py, but no config with it. Song et al. have a margin of 1.
"""

from __future__ import annotations

from functools import partial

from gradlens.longtail.methods.common import not_negative
from gradlens.longtail.methods.feature_loss import OLTR, UNKNOWN, settings_with, with_feature_loss
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.parts.pair_losses import lifted_structured
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.recipe.task import Task


def _recipe(task: Task, settings: Settings) -> Recipe:
    loss = partial(lifted_structured, margin=not_negative(settings, "margin"))
    return with_feature_loss("lifted", task, settings, loss)


LIFTED = Method(
    "lifted",
    "cross-entropy and the lifted structured loss: images of a class are closer than those of others",
    settings_with(
        {"margin": Setting(5.0, f"{OLTR}, LiftedStructuredLoss.py in the repository's history; 1 in Song et al. 2016")}
    ),
    _recipe,
    approximate=UNKNOWN,
)
METHODS = (LIFTED,)
