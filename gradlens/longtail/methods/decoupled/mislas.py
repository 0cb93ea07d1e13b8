"""MiSLAS: mixup, then label-aware smoothing (Zhong et al. 2021, "Improving calibration for long-tailed recognition").

Stage 1 is ``mixup``. Stage 2 (Sections 3.3 and 3.4) freezes the network but for the statistics of its BatchNorm, keeps the
classifier and trains it on, together with a scale for the logits of each class, on images that are drawn evenly from the classes.
The label of a sample of class c is smoothed by e_c, the most for head classes, since there the network is too sure of itself:
e_c = e_K + (e_1 - e_K) sin(pi/2 (n_c - n_K) / (n_1 - n_K)), with 1 the largest and K the smallest class. As in the code
(dvlab-research/MiSLAS, methods.py and train_stage2.py) the loss is (1 - e) CE + e times the mean of -log p over all classes; in
the paper e is spread over the other classes only. An epoch has a step more than the batches that the images fill.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.common import above_zero, check_images_of_classes, train_counts
from gradlens.longtail.methods.decoupled.lws import scaled_classifier
from gradlens.longtail.methods.decoupled.two_stage import (
    both_stages,
    classifier_sgd,
    stage_1,
    stage_1_settings,
    stage_2,
    stage_2_settings,
)
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.mixup import mix, mixup_on_photos, mixup_on_places
from gradlens.longtail.methods.parts.cifar_recipe import cifar_recipe
from gradlens.longtail.recipe.phases import Step
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings, settings_from
from gradlens.longtail.recipe.task import Task


@dataclass(frozen=True)
class LabelAwareSmoothing:
    """Mean cross-entropy of the batch with labels that are smoothed by the class of the sample.

    Attributes:
        smoothing: [C] e. The label of a sample of class c is 1 - e_c for c, and in addition e_c / C for each class.
    """

    smoothing: Tensor

    def __call__(self, step: Step) -> Tensor:
        """Returns the loss of the batch, a scalar."""
        minus_log = -step.logits.log_softmax(1)  # [B, C]
        e = self.smoothing.to(step.logits)[step.labels]  # [B]
        true = minus_log.gather(1, step.labels[:, None]).squeeze(1)
        return ((1 - e) * true + e * minus_log.mean(1)).mean()


def smoothing(counts: Tensor, head: float, tail: float) -> Tensor:
    """Returns [C] float64 e: ``head`` for the largest class, ``tail`` for the smallest, and between them along a sine.

    Args:
        counts: [C] training images per class. If all are equal, e is ``head``.
        head: e_1.
        tail: e_K.
    """
    n = counts.double()
    spread = n.max() - n.min()
    place = (n - n.min()) / spread if spread > 0 else torch.ones_like(n)
    return tail + (head - tail) * torch.sin(math.pi / 2 * place)


def _recipe(task: Task, settings: Settings) -> Recipe:
    check_images_of_classes("mislas", task)
    head, tail = (float(settings[f"smooth_{end}"]) for end in ("head", "tail"))
    if not 0 <= tail <= head < 1:
        raise LongTailError(f"smooth_head={head}, smooth_tail={tail}; needed is 0 <= smooth_tail <= smooth_head < 1")
    scale_rate = above_zero(settings, "scale_learning_rate_2")
    first = stage_1("mislas", task, settings, forward=mix(settings))
    second = stage_2(
        task,
        settings,
        scaled_classifier,
        losses={"classification": LabelAwareSmoothing(smoothing(train_counts(task), head, tail))},
        steps=-(-len(task.train.labels) // first.phases[0].batch) + 1,
    )
    sgd = replace(classifier_sgd(settings), parts={"classifier.scales": scale_rate})
    return both_stages(first, replace(second, sgd=sgd))


_ZHONG = "Zhong et al. 2021"


def _cifar(file: str, head: float, tail: float, rate: float) -> dict[str, Setting]:
    return cifar_recipe(
        f"{_ZHONG}, config/cifar100/{file}_stage*.yaml",
        steps_by=0.1,
        alpha=1.0,
        smooth_head=head,
        smooth_tail=tail,
        learning_rate_2=rate,
    )


def _large(folder: str, epochs: int, decay: float) -> dict[str, Setting]:
    return mixup_on_photos(folder, epochs, decay) | settings_from(
        f"{_ZHONG}, config/{folder}", smooth_head=0.3, smooth_tail=0.0, learning_rate_2=0.005
    )


MISLAS = Method(
    "mislas",
    "mixup, then the classifier and a scale for each class, with labels that are smoothed the more the larger their class",
    {
        "alpha": Setting(1.0, f"{_ZHONG}, on CIFAR; 0.2 on larger data sets"),
        **stage_1_settings(_ZHONG),
        **stage_2_settings(
            _ZHONG,
            epochs=Setting(10, f"{_ZHONG}, on all data sets"),
            sampler=Setting("class-aware", f"{_ZHONG}: ClassAwareSampler, 4 images in a row"),
            moving=Setting(True, f"{_ZHONG}, Section 3.4, but for CIFAR10-LT and the trunk on Places-LT"),
        ),
        "learning_rate_2": Setting(0.02, f"{_ZHONG}, on CIFAR100-LT with imbalance 100", float),
        "scale_learning_rate_2": Setting(0.1, f"{_ZHONG}, train_stage2.py"),
        "smooth_head": Setting(0.4, f"{_ZHONG}, on CIFAR100-LT with imbalance 100"),
        "smooth_tail": Setting(0.1, f"{_ZHONG}, on CIFAR100-LT with imbalance 100"),
    },
    _recipe,
    presets={
        "cifar100-lt-if100": _cifar("cifar100_imb001", 0.4, 0.1, 0.02),
        "cifar100-lt-if50": _cifar("cifar100_imb002", 0.3, 0.0, 0.01),
        "cifar100-lt-if10": _cifar("cifar100_imb01", 0.2, 0.0, 0.01),
        "imagenet-lt": _large("imagenet", 180, 5e-4),
        "places-lt": mixup_on_places()
        | settings_from(f"{_ZHONG}, config/places", smooth_head=0.4, smooth_tail=0.1, learning_rate_2=0.005),
        "inaturalist2018": _large("ina2018", 200, 1e-4),
    },
)
METHODS = (MISLAS,)
