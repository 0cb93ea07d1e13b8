"""GradVac over groups of classes (Wang et al. 2021, "Gradient Vaccine", Equations 2 to 4 and Algorithm 1).

The gradient g_i of each group is compared with every other g_j, in random order. If their cosine phi is below its target t, g_j
is added to g_i so that the cosine becomes t:
g_i <- g_i + |g_i| (t sqrt(1 - phi^2) - phi sqrt(1 - t^2)) / (|g_j| sqrt(1 - t^2)) g_j. The target is a moving average of the
cosines: t <- (1 - beta) t + beta phi, from 0. With targets that stay 0 this is PCGrad. The paper does it in each layer.

There is no code of the authors. Two libraries differ from the paper and from one another: LibMTL and TorchJD 0.18 take the whole
network and beta = 0.5, and LibMTL moves a target only when the cosine is below it, so that its targets only fall.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from gradlens.autograd.inner_products import Layout
from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.by_group.group_tasks import (
    class_groups,
    combined_phase,
    group_task_settings,
    reduces_to_mean,
)
from gradlens.longtail.methods.common import one_of
from gradlens.longtail.methods.method import Method
from gradlens.longtail.recipe.combiner import Combining, Gram
from gradlens.longtail.recipe.learner import Learner
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.recipe.task import Task

STATE = "gradvac"
LAYERS = ("layers", "whole")
UPDATES = ("always", "below")
_EPS = 1e-8  # as in LibMTL and TorchJD


class Targets(nn.Module):
    """The target cosines of all pairs of groups in each layer."""

    targets: Tensor

    def __init__(self, layers: int, groups: int) -> None:
        super().__init__()
        self.register_buffer("targets", torch.zeros(layers, groups, groups, dtype=torch.float64))


@dataclass(frozen=True)
class GradVacWeights:
    """The weights of GradVac. Its state is the module "gradvac" of the learner.

    Attributes:
        beta: Part of a new cosine in the target.
        below: True to move a target only when the cosine is below it, False to move it always.
        mean: True for the mean of the changed gradients, False for their sum.
    """

    beta: float
    below: bool = False
    mean: bool = False

    def __call__(self, gram: Gram, now: Combining) -> Gram:
        """See ``GroupWeights``."""
        state = now.learner.modules[STATE]
        assert isinstance(state, Targets)
        of_layer = state.targets[now.layer]
        present = np.ix_(now.present, now.present)
        targets = of_layer.numpy()[present].copy()  # [K, K] of the groups that are there
        lengths = np.sqrt(gram.diagonal())
        parts = np.eye(len(gram))  # row i holds the weights of which g_i is made
        for i in range(len(gram)):
            others = [j for j in range(len(gram)) if j != i]
            for at in torch.randperm(len(others), generator=now.generator).tolist():
                parts[i, others[at]] += self._added(i, others[at], parts[i], gram, lengths, targets)
        of_layer.numpy()[present] = targets
        weights: Gram = parts.mean(0) if self.mean else parts.sum(0)
        return weights

    def _added(self, i: int, j: int, part: Gram, gram: Gram, lengths: Gram, targets: Gram) -> float:
        """Returns how much of g_j is added to g_i, and moves their target."""
        length = math.sqrt(max(float(part @ gram @ part), 0.0))
        if length == 0:  # a gradient that was taken away has no direction
            return 0.0
        cosine = min(max(float(part @ gram[j]) / (length * lengths[j]), -1.0), 1.0)
        target = float(targets[i, j])
        is_below = cosine < target
        if is_below or not self.below:
            targets[i, j] = (1 - self.beta) * target + self.beta * cosine
        if not is_below:
            return 0.0
        sine, target_sine = math.sqrt(1 - cosine * cosine), math.sqrt(1 - target * target)
        return float(length * (target * sine - cosine * target_sine) / (lengths[j] * (target_sine + _EPS)))


@dataclass(frozen=True)
class MakeTargets:
    """Makes the state: a target for each pair of groups, in each layer or in the whole network."""

    groups: int
    by_layer: bool

    def __call__(self, learner: Learner) -> None:
        """Adds the module "gradvac" to the learner."""
        layers = len(Layout.of(learner.model).layers) if self.by_layer else 1
        learner.modules[STATE] = Targets(layers, self.groups)


def _recipe(method: str, task: Task, settings: Settings) -> Recipe:
    beta = float(settings["beta"])
    if not 0 <= beta <= 1:
        raise LongTailError(f"beta={beta}; the part of a new cosine in its target must be in 0..1")
    by_layer = one_of(settings, "granularity", LAYERS) == "layers"
    below = one_of(settings, "update_targets", UPDATES) == "below"
    return combined_phase(
        method,
        task,
        settings,
        GradVacWeights(beta, below, reduces_to_mean(settings)),
        by_layer=by_layer,
        structure=MakeTargets(len(class_groups(method, task, settings)), by_layer),
    )


GRADVAC = Method(
    "gradvac",
    "cross-entropy; the gradients of head and tail are turned toward each other to their usual angle before they are summed",
    {
        "beta": Setting(0.01, "Wang et al. 2021; LibMTL and TorchJD have 0.5"),
        "granularity": Setting("layers", "Wang et al. 2021: each layer by itself; 'whole' in LibMTL and TorchJD"),
        "update_targets": Setting(
            "always", "Wang et al. 2021, Equation 4; 'below' in LibMTL: only when the cosine is below"
        ),
        "reduction": Setting("sum", "Wang et al. 2021, Algorithm 1"),
        **group_task_settings("Wang et al. 2021"),
    },
    partial(_recipe, "gradvac"),
)
METHODS = (GRADVAC,)
