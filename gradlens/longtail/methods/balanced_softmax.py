"""Balanced softmax (Ren et al. 2020, "Balanced meta-softmax for long-tailed visual recognition", Section 3.1).

In training the log of the class counts is added to the logits: L = -log(n_y exp(z_y) / sum_c n_c exp(z_c))
(jiawei-ren/BalancedMetaSoftmax, loss/BalancedSoftmaxLoss.py). For predictions the logits are used without it. This is logit
adjustment with tau = 1, whose log frequencies differ by a constant. The authors' CIFAR100-LT numbers are of stronger augmentation
and longer training, so not of the lab's settings; the meta sampler of the paper's title is not in this method.
"""

from __future__ import annotations

from functools import partial

from gradlens.longtail.methods.common import train_counts
from gradlens.longtail.methods.logit_adjustment import AdjustedCrossEntropy
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.single_phase import one_phase, ordinary
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Settings
from gradlens.longtail.recipe.task import Task


def _recipe(method: str, task: Task, settings: Settings) -> Recipe:
    # A class without images gets log 0 = -inf: it has no part in the sum, as the formula says.
    return one_phase(method, task, settings, AdjustedCrossEntropy(train_counts(task).log()))


BALANCED_SOFTMAX = Method(
    "balanced-softmax",
    "cross-entropy of logits with the log class counts added in training",
    ordinary("Ren et al. 2020"),
    partial(_recipe, "balanced-softmax"),
)
METHODS = (BALANCED_SOFTMAX,)
