"""Logit adjustment (Menon et al. 2021, "Long-tail learning via logit adjustment").

In training the log of the class frequencies is added to the logits. With tau = 1 this is the balanced softmax (Ren et al. 2020).
For predictions the logits are used without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from gradlens.longtail.methods.common import not_negative, train_counts
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.single_phase import one_phase, ordinary
from gradlens.longtail.recipe.phases import Step
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings, settings_from
from gradlens.longtail.recipe.task import Task

# As in google-research/logit_adjustment. With it a class without images has a finite logarithm.
SMALLEST = 1e-12


@dataclass(frozen=True)
class AdjustedCrossEntropy:
    """Mean cross-entropy of z + tau log(pi + 1e-12) over the batch, where z are the logits.

    Attributes:
        offsets: [C] tau log(pi + 1e-12), where pi are the class frequencies of the training images.
    """

    offsets: Tensor

    def __call__(self, step: Step) -> Tensor:
        """Returns the loss of the batch, a scalar."""
        return F.cross_entropy(step.logits + self.offsets.to(step.logits), step.labels)


def _recipe(method: str, task: Task, settings: Settings) -> Recipe:
    tau = not_negative(settings, "tau")
    counts = train_counts(task)
    offsets = tau * torch.log(counts / counts.sum() + SMALLEST)
    return one_phase(method, task, settings, AdjustedCrossEntropy(offsets))


_CODE = "Menon et al. 2021, code"


def authors_recipes() -> dict[str, dict[str, Setting]]:
    """Returns how the authors train on CIFAR (google-research/logit_adjustment, main.py and utils.py), for loss and post hoc.

    Other than here the network has an end of its own, images are padded by 2 and scaled to -0.5..0.5, and batches that are not
    full are left out.
    """
    return {
        "cifar100-lt-if100": _authors_recipe(1419, (691, 1059, 1290), 22),
        "cifar10-lt-if100": _authors_recipe(1241, (604, 926, 1128), 20),
    }


def _authors_recipe(epochs: int, steps: tuple[int, ...], warm_up: int) -> dict[str, Setting]:
    return settings_from(
        f"{_CODE}: utils.py",
        epochs=epochs,
        schedule="steps",
        steps_at=tuple(step / epochs for step in steps),
        steps_by=0.1,
    ) | {
        "batch": Setting(128, f"{_CODE}: main.py; there a last batch that is not full is left out"),
        "learning_rate": Setting(0.1, f"{_CODE}: main.py"),
        "momentum": Setting(0.9, f"{_CODE}: main.py"),
        "nesterov": Setting(True, f"{_CODE}: main.py"),
        "weight_decay": Setting(2e-4, f"{_CODE}: models.py, l2(1e-4) without a half; there not of BatchNorm"),
        "warm_up": Setting(warm_up, f"{_CODE}: utils.py; there it rises with each step"),
    }


LOGIT_ADJUSTMENT = Method(
    "logit-adjustment",
    "cross-entropy of logits with the log class frequencies added in training",
    {
        "tau": Setting(1.0, "Menon et al. 2021, both of their variants"),
        **ordinary("Menon et al. 2021"),
    },
    partial(_recipe, "logit-adjustment"),
    presets=authors_recipes(),
)
METHODS = (LOGIT_ADJUSTMENT,)
