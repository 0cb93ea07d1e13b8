"""``Combiner``: makes the update of a step from the gradients of groups of classes (multi-task methods, groups as tasks)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from gradlens.groups import ClassGroups
from gradlens.longtail.recipe.learner import Learner

Gram = NDArray[np.float64]


@dataclass(frozen=True)
class Combining:
    """What is known where gradients are combined.

    Attributes:
        present: [K] indices of the groups that have samples in the batch and a gradient.
        layer: Index of the layer; 0 if the whole network is combined at once.
        learner: The state of the training. A combiner keeps its own state in ``learner.modules``, which checkpoints hold.
        generator: Source of random order, the same in all processes.
    """

    present: tuple[int, ...]
    layer: int
    learner: Learner
    generator: torch.Generator


class GroupWeights(Protocol):
    """A rule that combines K gradients. It knows them only by their inner products."""

    def __call__(self, gram: Gram, now: Combining) -> Gram:
        """Returns [K] the weights with which the gradients are summed.

        Args:
            gram: [K, K] inner products of the gradients. The largest is 1: a common factor of all gradients is taken out, so that
                no constant of the rule is large or small beside them. None is zero on the diagonal.
            now: The groups, and what else is known.
        """


@dataclass(frozen=True)
class Combiner:
    """Says how the gradients of groups of classes become the update of a step.

    The gradient of a group is what its samples contribute to the gradient of the batch: the contributions of all groups sum to
    it. A group without samples in the batch, or without a gradient, is no task in this step: it is left out.

    Attributes:
        groups: The groups of classes.
        weights: The rule. A frozen dataclass, since its text is part of the identity of a training.
        means: False to combine the contributions of the groups; True to combine the means over their own samples, which are the
            contributions times (samples of the batch / samples of the group).
        by_layer: False to combine the gradients of the whole network; True to combine each layer by itself.
    """

    groups: ClassGroups
    weights: GroupWeights
    means: bool = False
    by_layer: bool = False

    def identity(self) -> dict[str, Any]:
        """Returns what must be equal for one training to continue another."""
        return {
            "groups": [list(ids) for ids in self.groups.classes],
            "weights": str(self.weights),
            "means": self.means,
            "by_layer": self.by_layer,
        }
