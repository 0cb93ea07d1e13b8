"""EQL v2 (Tan et al. 2021, "Equalization loss v2: a new gradient balance approach for long-tailed object detection").

Each class is a binary classifier with s = sigmoid(z). The loss is the sum over classes of the binary cross-entropies, weighted by
w+_c for positives and w-_c for negatives, and its mean over the batch. The weights follow from the gradients so far (Section 3):

    r_c = G+_c / (G-_c + 1e-10),    w-_c = 1 / (1 + exp(-gamma (r_c - mu))),    w+_c = 1 + alpha (1 - w-_c),

in which G+_c and G-_c are the sums over the training of w |s - o|, the size of the gradient, over the positives and negatives of
class c. A class whose positives lost against negatives so far gets weaker negatives and stronger positives. As in the code
(tztztztztz/eqlv2, mmdet/models/losses/eqlv2.py), r_c is 100 in the first step, so that the first weights are 1. Predictions are
the largest logit. The sums are kept in a module, so that checkpoints hold them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens.longtail.methods.common import check_classes, not_negative
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.single_phase import one_phase
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.learner import Learner
from gradlens.longtail.recipe.phases import Step
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.recipe.task import Task

STATE = "gradient ratios"


class GradientRatios(nn.Module):
    """The gradients so far of the positives and the negatives of each class.

    Attributes:
        positives: [C] float64 sums over the positives.
        negatives: [C] float64 sums over the negatives.
        ratios: [C] float64 r_c.
    """

    positives: Tensor
    negatives: Tensor
    ratios: Tensor

    def __init__(self, num_classes: int) -> None:
        """Starts with sums of 0 and ratios of 100."""
        super().__init__()
        # float64, since a sum over a long training in float32 stops growing
        for name, value in (("positives", 0.0), ("negatives", 0.0), ("ratios", 100.0)):
            self.register_buffer(name, torch.full((num_classes,), value, dtype=torch.float64))

    def add(self, sizes: Tensor, positive: Tensor) -> None:
        """Adds the gradients of a batch.

        Args:
            sizes: [B, C] weighted sizes of the gradients.
            positive: [B, C] one-hot labels.
        """
        self.positives += (sizes * positive).double().sum(0)
        self.negatives += (sizes * (1 - positive)).double().sum(0)
        self.ratios.copy_(self.positives / (self.negatives + 1e-10))


@dataclass(frozen=True)
class Equalization:
    """The weighted binary cross-entropies of a batch. It adds the batch's gradients to the learner's ``GradientRatios``.

    Attributes:
        gamma: Steepness of the weights.
        mu: Ratio at which the weight of negatives is 1/2.
        alpha: The most that the weight of positives exceeds 1.
    """

    gamma: float
    mu: float
    alpha: float

    def __call__(self, step: Step) -> Tensor:
        """Returns the loss of the batch, a scalar."""
        state = cast(GradientRatios, step.learner.modules[STATE])
        true = torch.zeros_like(step.logits).scatter(1, step.labels[:, None], 1)  # [B, C] one-hot
        negative = torch.sigmoid(self.gamma * (state.ratios - self.mu)).to(step.logits)  # [C]
        weights = true * (1 + self.alpha * (1 - negative)) + (1 - true) * negative
        state.add((weights * (torch.sigmoid(step.logits.detach()) - true)).abs(), true)
        each = F.binary_cross_entropy_with_logits(step.logits, true, reduction="none")
        return (weights * each).sum() / len(step.labels)


def _with_state(learner: Learner) -> None:
    learner.modules[STATE] = GradientRatios(learner.num_classes).to(learner.device)


def _network(task: Task, settings: Settings) -> Network:
    network = task.network(settings, False)
    nn.init.constant_(cast(nn.Linear, network.classifier).bias, -math.log(task.num_classes - 1))
    return network


def _recipe(method: str, task: Task, settings: Settings) -> Recipe:
    check_classes(method, task)  # with one class the first bias is infinite
    loss = Equalization(*(not_negative(settings, name) for name in ("gamma", "mu", "alpha")))
    recipe = one_phase(method, task, settings, loss, network=partial(_network, task, settings))
    return replace(recipe, phases=(replace(recipe.phases[0], structure=_with_state),))


EQL_V2 = Method(
    "eql-v2",
    "binary classifiers with weights that balance the gradients so far of positives and negatives",
    {
        "gamma": Setting(12.0, "Tan et al. 2021, code: eqlv2.py"),
        "mu": Setting(0.8, "Tan et al. 2021, code: eqlv2.py"),
        "alpha": Setting(4.0, "Tan et al. 2021, code: eqlv2.py"),
        "sampler": Setting("shuffled", "Tan et al. 2021: the images as they are"),
        "compute": Setting(1, "gradlens: multiple of the epochs"),
    },
    partial(_recipe, "eql-v2"),
    approximate="its authors train detectors; the first bias of -log(C - 1) and the training's settings are not theirs",
)
METHODS = (EQL_V2,)
