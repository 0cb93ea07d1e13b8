"""PCGrad over groups of classes (Yu et al. 2020, "Gradient Surgery for Multi-Task Learning", Algorithm 1).

The gradient g_i of each group, one after another in random order of the others, loses its part against every g_j with which it
conflicts: g_i <- g_i - min(0, <g_i, g_j>) / |g_j|^2 g_j, with the original g_j. The results are summed. The paper and its code
(tianheyu927/PCGrad) sum; the code shuffles the order without using the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from gradlens.longtail.methods.by_group.group_tasks import combined_phase, group_task_settings, reduces_to_mean
from gradlens.longtail.methods.method import Method
from gradlens.longtail.recipe.combiner import Combining, Gram
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.recipe.task import Task


@dataclass(frozen=True)
class PcGradWeights:
    """The weights of PCGrad.

    Attributes:
        mean: True for the mean of the projected gradients, False for their sum.
    """

    mean: bool = False

    def __call__(self, gram: Gram, now: Combining) -> Gram:
        """See ``GroupWeights``."""
        parts = np.eye(len(gram))  # row i holds the weights of which g_i is made
        for i in range(len(gram)):
            for j in torch.randperm(len(gram), generator=now.generator).tolist():
                if j != i and (inner := parts[i] @ gram[j]) < 0:
                    parts[i, j] -= inner / gram[j, j]
        weights: Gram = parts.mean(0) if self.mean else parts.sum(0)
        return weights


def _recipe(method: str, task: Task, settings: Settings) -> Recipe:
    return combined_phase(method, task, settings, PcGradWeights(reduces_to_mean(settings)))


PCGRAD = Method(
    "pcgrad",
    "cross-entropy; the gradients of head and tail lose what conflicts with the other before they are summed",
    {
        "reduction": Setting("sum", "Yu et al. 2020, Algorithm 1 and tianheyu927/PCGrad"),
        **group_task_settings("Yu et al. 2020"),
    },
    partial(_recipe, "pcgrad"),
)
METHODS = (PCGRAD,)
