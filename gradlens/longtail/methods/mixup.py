"""Mixup (Zhang et al. 2018, "mixup: beyond empirical risk minimization", Section 1).

Images and labels of a batch are mixed in pairs: lambda x + (1 - lambda) x', with lambda ~ Beta(alpha, alpha). The loss is the
cross-entropy with the mixed labels, which equals lambda CE(z, y) + (1 - lambda) CE(z, y'). As in facebookresearch/mixup-cifar10
(train.py) a batch has one lambda, and its partners are a permutation of it. If several processes train, they share the lambda;
each finds partners in its own share of the batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.parts.cifar_recipe import cifar_recipe
from gradlens.longtail.methods.parts.photos_recipe import LAST_BLOCK, places_recipe
from gradlens.longtail.methods.single_phase import one_phase, ordinary
from gradlens.longtail.recipe.batch import Batch
from gradlens.longtail.recipe.learner import Learner
from gradlens.longtail.recipe.phases import Step, classify
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings, settings_from
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.recipe.visiting import PhaseProgress


@dataclass(frozen=True)
class Mix:
    """A forward pass of mixed images. Its step has the mixed labels.

    Attributes:
        alpha: Both parameters of the Beta distribution.
    """

    alpha: float

    def __call__(self, learner: Learner, progress: PhaseProgress, batch: Batch, generator: torch.Generator) -> Step:
        """See ``Forward``. The labels become [b, C] soft labels."""
        return classify(learner, progress, self.mixed(learner, batch, generator), generator)

    def mixed(self, learner: Learner, batch: Batch, generator: torch.Generator) -> Batch:
        """Returns the mixed images of a batch, with [b, C] soft labels."""
        seed = int(torch.randint(2**63 - 1, (), generator=generator))
        drawn = torch.tensor(np.random.default_rng(seed).beta(self.alpha, self.alpha), dtype=torch.float64)
        share = float(learner.processes.as_the_first(drawn, learner.device))
        images = batch.images
        partners = torch.randperm(len(images), generator=generator).to(images.device)
        one_hot = F.one_hot(batch.labels, learner.num_classes).to(images.dtype)
        mixed, soft = (share * rows + (1 - share) * rows[partners] for rows in (images, one_hot))
        return Batch(mixed, soft)


def mix(settings: Settings) -> Mix:
    """Returns the forward pass of the setting ``alpha``.

    Raises:
        LongTailError: It is not above 0, or not finite.
    """
    alpha = float(settings["alpha"])
    if not 0 < alpha < math.inf:
        raise LongTailError(f"alpha={alpha}; it must be a finite number above 0 (towards 0, images are hardly mixed)")
    return Mix(alpha)


def _recipe(method: str, task: Task, settings: Settings) -> Recipe:
    return one_phase(method, task, settings, forward=mix(settings))


_ZHONG = "Zhong et al. 2021"


def mixup_on_photos(folder: str, epochs: int, decay: float) -> dict[str, Setting]:
    """Returns how MiSLAS trains its first stage on large images, which is mixup (dvlab-research/MiSLAS).

    Args:
        folder: Folder of the configuration file.
        epochs: Epochs.
        decay: Weight decay.
    """
    return settings_from(
        f"{_ZHONG}, config/{folder}",
        epochs=epochs,
        batch=256,
        learning_rate=0.1,
        weight_decay=decay,
        schedule="cosine",
        alpha=0.2,
    )


def mixup_on_places() -> dict[str, Setting]:
    """Returns how MiSLAS trains its first stage on Places-LT."""
    return places_recipe(
        f"{_ZHONG}, config/places",
        trained=f"{_ZHONG}, train_stage1.py: a new block after the pretrained ones trains; here the last of these",
        batch=256,
        learning_rate=0.1,
        alpha=0.2,
    ) | {"moving_parts": Setting(LAST_BLOCK, f"{_ZHONG}, train_stage1.py: the pretrained trunk is in eval mode")}


MIXUP = Method(
    "mixup",
    "cross-entropy of images and labels that are mixed in pairs",
    {
        "alpha": Setting(1.0, "Zhang et al. 2018, on CIFAR"),
        **ordinary("Zhang et al. 2018"),
    },
    partial(_recipe, "mixup"),
    presets={
        "cifar100-lt": cifar_recipe(f"{_ZHONG}, config/cifar100, stage 1", steps_by=0.1),
        "imagenet-lt": mixup_on_photos("imagenet", 180, 5e-4),
        "places-lt": mixup_on_places(),
        "inaturalist2018": mixup_on_photos("ina2018", 200, 1e-4),
    },
)
METHODS = (MIXUP,)
