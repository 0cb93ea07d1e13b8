"""LDAM and LDAM-DRW (Cao et al. 2019, "Learning imbalanced datasets with label-distribution-aware margin loss").

``ldam`` (Section 3.2): L = CE(s (cos - m_y at y)). The true class must win by a margin m_c = M n_c^(-1/4) / max_j n_j^(-1/4), the
largest for the rarest class. ``ldam-drw`` (Section 3.3, Algorithm 1) is the same in one phase, with class weights from a given
epoch on. Where the paper leaves a choice, both follow the code (kaidic/LDAM-DRW, losses.py and cifar_train.py): s = 30, M = 0.5,
class-balanced weights (Cui et al. 2019) with a weighted mean, features after the last ReLU, weight decay of the classifier too.
The column "LDAM" in tables of later papers is mostly LDAM-DRW.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.common import normalised_network, not_negative, train_counts
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.parts.cifar_recipe import cifar_recipe
from gradlens.longtail.methods.parts.class_weights import class_balanced_weights
from gradlens.longtail.methods.single_phase import one_phase
from gradlens.longtail.recipe.phases import Step
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.recipe.visiting import PhaseProgress


@dataclass(frozen=True)
class MarginCrossEntropy:
    """Cross-entropy of logits from which the true class's margin is taken off.

    Attributes:
        margins: [C] margins in units of the logits: s m_c.
        weights: [C] class weights; None = all weigh the same. The loss is divided by the sum of the samples' weights.
        weighted_from: Part of the phase's epochs that trains without the weights.
    """

    margins: Tensor
    weights: Tensor | None = None
    weighted_from: float = 0.0

    def __call__(self, step: Step) -> Tensor:
        """Returns the loss of the batch, a scalar."""
        return self.of(step.logits, step.labels, step.progress)

    def of(self, logits: Tensor, labels: Tensor, progress: PhaseProgress) -> Tensor:
        """Returns the loss of a batch, a scalar.

        Args:
            logits: [B, C] logits.
            labels: [B] class ids.
            progress: Epoch and epochs of the phase.
        """
        own = labels[:, None]
        shifted, weights = logits.scatter_add(1, own, -self.margins.to(logits)[own]), self.weights
        # rounded as the epochs of the learning rate's steps are, so that both change in the same epoch
        if weights is None or progress.epoch < round(self.weighted_from * progress.epochs):
            return F.cross_entropy(shifted, labels)
        return F.cross_entropy(shifted, labels, weight=weights.to(shifted))


def margins(counts: Tensor, largest: float) -> Tensor:
    """Returns [C] float64 margins in proportion to n_c^(-1/4). A class without images has none.

    Args:
        counts: [C] training images per class.
        largest: Margin of the rarest class.
    """
    n = counts.double()
    shape = torch.where(n > 0, n.clamp(min=1) ** -0.25, 0)
    return largest * shape / shape.max()


def _recipe(method: str, task: Task, settings: Settings) -> Recipe:
    network, scale, counts = normalised_network(task, settings), float(settings["scale"]), train_counts(task)
    weights, start = None, 0.0
    if "beta" in settings:
        weights, start = class_balanced_weights(counts, float(settings["beta"])), float(settings["weighted_from"])
        if not 0 <= start <= 1:
            raise LongTailError(f"weighted_from={start}; it is a part of the epochs, from 0 to 1")
    loss = MarginCrossEntropy(scale * margins(counts, not_negative(settings, "margin")), weights, start)
    return one_phase(method, task, settings, loss, network=network)


_CODE = "Cao et al. 2019, losses.py"
_SETTINGS = {
    "margin": Setting(0.5, f"{_CODE}: the margin of the rarest class"),
    "scale": Setting(30.0, f"{_CODE}; it is fixed"),
    "sampler": Setting("shuffled", "Cao et al. 2019"),
    "compute": Setting(1, "gradlens: multiple of the epochs"),
}
LDAM = Method(
    "ldam",
    "cross-entropy of cosines with margins, larger for rarer classes",
    _SETTINGS,
    partial(_recipe, "ldam"),
    presets={"cifar100-lt": cifar_recipe("Cao et al. 2019, cifar_train.py")},
)
LDAM_DRW = Method(
    "ldam-drw",
    "ldam, and class-balanced weights late in training",
    {
        **_SETTINGS,
        "beta": Setting(0.9999, "Cao et al. 2019, cifar_train.py; Algorithm 1 has 1 / n_c"),
        "weighted_from": Setting(0.8, "Cao et al. 2019, cifar_train.py: from epoch 160 of 200, counted from 0"),
    },
    partial(_recipe, "ldam-drw"),
    presets={"cifar100-lt": cifar_recipe("Cao et al. 2019, cifar_train.py")},
)
METHODS = (LDAM, LDAM_DRW)
