"""Balanced softmax (Ren et al. 2020, "Balanced meta-softmax for long-tailed visual recognition", Section 3.1).

In training the log of the class counts is added to the logits: L = -log(n_y exp(z_y) / sum_c n_c exp(z_c))
(jiawei-ren/BalancedMetaSoftmax, loss/BalancedSoftmaxLoss.py). For predictions the logits are used without it. This is logit
adjustment with tau = 1, whose log frequencies differ by a constant. The authors' CIFAR100-LT numbers are of stronger augmentation
and longer training (a preset), so not of the lab's settings; the meta sampler of the paper's title is not in this method. On
Places-LT they only train a classifier in this way, on a network whose training they do not give.
"""

from __future__ import annotations

from functools import partial

from gradlens.longtail.methods.common import train_counts
from gradlens.longtail.methods.logit_adjustment import AdjustedCrossEntropy
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.single_phase import one_phase, ordinary
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings, settings_from
from gradlens.longtail.recipe.task import Task


def _recipe(method: str, task: Task, settings: Settings) -> Recipe:
    # A class without images gets log 0 = -inf: it has no part in the sum, as the formula says.
    return one_phase(method, task, settings, AdjustedCrossEntropy(train_counts(task).log()))


_CODE = "Ren et al. 2020, code"
_CIFAR = f"{_CODE}: config/CIFAR100_LT/balanced_softmax_imba200.yaml"
BALANCED_SOFTMAX = Method(
    "balanced-softmax",
    "cross-entropy of logits with the log class counts added in training",
    {
        **ordinary("Ren et al. 2020"),
        "warm_up_from": Setting(
            None, "gradlens: of schedule=cosine-after-warm-up, the factor of the first epoch; 1 / warm_up", float
        ),
    },
    partial(_recipe, "balanced-softmax"),
    presets={
        "cifar100-lt-if200": settings_from(
            _CIFAR, learning_rate=0.1, momentum=0.9, weight_decay=5e-4, schedule="cosine-after-warm-up"
        )
        | {
            "epochs": Setting(685, f"{_CIFAR}: 13000 iterations, and 19 batches in an epoch"),
            "batch": Setting(512, f"{_CIFAR}; there a last batch that is not full is left out"),
            "warm_up": Setting(43, f"{_CIFAR}: 800 iterations"),
            "warm_up_from": Setting(41 / 84, f"{_CODE}: utils.py, from 0.05 to 0.1 in epochs 1 to 43"),
            "augmentation": Setting("autoaugment-cutout", f"{_CODE}: data/ImbalanceCIFAR.py"),
        },
        "imagenet-lt": settings_from(
            f"{_CODE}: config/ImageNet_LT/balanced_softmax_resnet10.yaml",
            backbone="resnet-10",
            epochs=90,
            batch=512,
            learning_rate=0.2,
            momentum=0.9,
            weight_decay=5e-4,
            schedule="cosine",
        ),
    },
)
METHODS = (BALANCED_SOFTMAX,)
