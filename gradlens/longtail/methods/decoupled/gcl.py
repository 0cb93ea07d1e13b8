"""GCL: Gaussian clouded logits (Li et al. 2022, "Long-tailed visual recognition via Gaussian clouded logit adjustment").

Stage 1 trains on mixed images with cross-entropy of s (cos_c - a |eps_c| (log n_1 - log n_c) / (log n_1 - log n_K)), with 1 the
largest and K the smallest class, and eps ~ N(0, 1/9) cut off at 1: the noise takes most off the cosines of rare classes, whose
features fill little space. Stage 2 freezes the network and trains the classifier on, on images that are drawn evenly from the
classes, with a smaller s, a margin m for the true class, and focal weights (1 - p) through which no gradient flows. Predictions
are the largest cosine.

All is as in the code (Keke921/GCLLoss, losses.py, cifar_train_backbone.py and cifar_train_classifier.py). It draws eps anew for
each of the two labels of a mixed image, here both share it; the expected loss and gradient are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from gradlens.longtail.methods.common import (
    above_zero,
    check_images_of_classes,
    normalised_network,
    not_negative,
    train_counts,
)
from gradlens.longtail.methods.decoupled.two_stage import (
    both_stages,
    stage_1,
    stage_1_settings,
    stage_2,
    stage_2_settings,
)
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.mixup import Mix, mix
from gradlens.longtail.methods.parts.cifar_recipe import cifar_recipe
from gradlens.longtail.methods.parts.normalised import NormalisedClassifier
from gradlens.longtail.methods.parts.photos_recipe import LAST_BLOCK, places_recipe
from gradlens.longtail.recipe.batch import Batch
from gradlens.longtail.recipe.learner import Learner
from gradlens.longtail.recipe.phases import Step
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings, settings_from
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.recipe.visiting import PhaseProgress


@dataclass(frozen=True)
class Clouded:
    """A forward pass of mixed images with noise on the cosines.

    Attributes:
        clouds: [C] the largest noise of each class, in cosines.
        mix: Mixes images and labels; None = they are not mixed.
    """

    clouds: Tensor
    mix: Mix | None

    def __call__(self, learner: Learner, progress: PhaseProgress, batch: Batch, generator: torch.Generator) -> Step:
        """See ``Forward``."""
        if self.mix is not None:
            batch = self.mix.mixed(learner, batch, generator)
        classifier = cast(NormalisedClassifier, learner.model.classifier)
        features = learner.model.embed(batch.images)
        logits = classifier(features)
        noise = (torch.randn(logits.shape, generator=generator) / 3).clamp(-1, 1).abs()
        clouded = logits - classifier.scale * self.clouds.to(logits) * noise.to(logits)
        return Step(learner, progress, batch.images, batch.labels, features, clouded)


@dataclass(frozen=True)
class MarginFocal:
    """Mean focal loss of logits from which the margin of the true class is taken off.

    With mixed labels it is the mean of the losses of both labels, in their shares.

    Attributes:
        margin: Margin in units of the logits: s m.
        gamma: Exponent of the focal weight (1 - p)^gamma, through which no gradient flows.
    """

    margin: float
    gamma: float

    def __call__(self, step: Step) -> Tensor:
        """Returns the loss of the batch, a scalar."""
        if step.labels.ndim == 1:
            shares, labels = torch.ones_like(step.logits[:, :1]), step.labels[:, None]
        else:
            shares, labels = step.labels.topk(2, dim=1)  # [B, 2]
        logits = step.logits[:, None].expand(-1, labels.shape[1], -1)  # [B, 1 or 2, C]
        true = F.one_hot(labels, logits.shape[2]).to(logits)
        each = F.cross_entropy((logits - self.margin * true).flatten(0, 1), labels.flatten(), reduction="none")
        weight = (1 - torch.exp(-each.detach())) ** self.gamma
        return (shares * (weight * each).view_as(shares)).sum(1).mean()


@dataclass(frozen=True)
class Rescale:
    """Gives the normalised classifier another scale. Its weights stay.

    Attributes:
        scale: The scale.
    """

    scale: float

    def __call__(self, learner: Learner) -> None:
        """See ``LearnerChange``."""
        weight = cast(NormalisedClassifier, learner.model.classifier).weight
        learner.model.classifier = NormalisedClassifier(weight.shape[1], weight.shape[0], self.scale).to(weight)
        learner.model.classifier.weight.data.copy_(weight.detach())


def clouds(counts: Tensor, largest: float) -> Tensor:
    """Returns [C] float64 the largest noise of each class: 0 for the most frequent, ``largest`` for the rarest.

    Args:
        counts: [C] training images per class. If all are equal, there is no noise.
        largest: a.
    """
    gap = counts.double().max().log() - counts.double().log()
    return largest * gap / gap.max() if gap.max() > 0 else gap


def _recipe(task: Task, settings: Settings) -> Recipe:
    check_images_of_classes("gcl", task)
    scale, margin = above_zero(settings, "scale_2"), not_negative(settings, "margin_2")
    forward = Clouded(
        clouds(train_counts(task), not_negative(settings, "noise")),
        None if settings["alpha"] is None else mix(settings),
    )
    first = stage_1("gcl", task, settings, network=normalised_network(task, settings), forward=forward)
    loss = MarginFocal(scale * margin, not_negative(settings, "gamma_2"))
    second = stage_2(task, settings, Rescale(scale), losses={"classification": loss}, forward=forward)
    return both_stages(first, second)


_LI = "Li et al. 2022"
_CLASSIFIER = f"{_LI}, cifar_train_classifier.py"


def _places() -> dict[str, Setting]:
    backbone, classifier = (f"{_LI}, Places-LT/pla_train_{part}.py" for part in ("backbone", "classifier"))
    first = places_recipe(
        backbone,
        trained=f"{backbone}: a new block after the pretrained ones trains; here the last of these",
        batch=512,
        learning_rate=0.2,
        noise=1.0,
        stage_2_from="best",
    )
    steps = settings_from(backbone, schedule="steps", steps_at=(2 / 3, 8 / 9), steps_by=0.1, warm_up=5)
    second = settings_from(classifier, epochs_2=30, learning_rate_2=0.002, scale_2=15.0, margin_2=0.1)
    own = {
        "alpha": Setting(0.2, f"{backbone}; there 1 in stage 2"),
        "moving_parts": Setting(LAST_BLOCK, f"{backbone}: the pretrained trunk is in eval mode"),
    }
    return first | steps | second | own


GCL = Method(
    "gcl",
    "mixup with noise on the cosines of rare classes, then the classifier alone, with class-balanced sampling",
    {
        "alpha": Setting(1.0, f"{_LI}, utils.py; null = no mixup (the code's flag cannot turn it off)", float),
        "noise": Setting(0.5, f"{_LI}, cifar_train_backbone.py"),
        "scale": Setting(30.0, f"{_LI}, cifar_train_backbone.py"),
        **stage_1_settings(_LI),
        **stage_2_settings(
            _LI,
            epochs=Setting(30, _CLASSIFIER),
            sampler=Setting("class-balanced", f"{_CLASSIFIER}: each image is weighted by 1 / n_y"),
            moving=Setting(False, f"{_CLASSIFIER}: the frozen network is in eval mode"),
        ),
        "learning_rate_2": Setting(0.002, f"{_CLASSIFIER}: 0.1 x 0.1 x 0.1 x (1 + cos 0)", float),
        "scale_2": Setting(20.0, _CLASSIFIER),
        "margin_2": Setting(0.1, _CLASSIFIER),
        "gamma_2": Setting(1.0, _CLASSIFIER),
    },
    _recipe,
    presets={
        "cifar100-lt": cifar_recipe(f"{_LI}, cifar_train_backbone.py", batch=64, steps_by=0.1, stage_2_from="best"),
        "places-lt": _places(),
    },
)
METHODS = (GCL,)
