"""PaCo (Cui et al. 2021, "Parametric contrastive learning").

An image's anchor q_i is the unit vector of a projection of its features. It is compared with all other anchors of the batch, with
the keys of another view of the batch's images, and with a queue of earlier keys; and, as learnable centres, with the classes
(Equations 4 and 5). Keys come from a copy of the network that follows it slowly (He et al. 2020). With the scores

    s_ic = z_ic + log pi_c  of the classes,    s_ik = q_i . k / T  of the others,    p_i = softmax of all of them,

the loss is the mean over i of -(beta log p_iy + alpha sum_k log p_ik) / (beta + alpha n_i), in which k runs over the n_i others
with the label of i. At test the logits are z. It follows the code (dvlab-research/Parametric-Contrastive-Learning, LT/losses.py
and LT/moco/builder.py), in which the classes' scores are not divided by T. Its authors train 400 epochs: in short trainings the
contrast, in which keys of an image's own class compete with the class, has not paid off yet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens.longtail.data.labelled_images import check_augmentation
from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.common import (
    above_zero,
    check_classes,
    check_full_batch,
    not_negative,
    positive,
    train_counts,
)
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.parts.momentum_contrast import MomentumContrast
from gradlens.longtail.methods.single_phase import one_phase
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.batch import Batch
from gradlens.longtail.recipe.learner import Learner
from gradlens.longtail.recipe.phases import Step
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings, settings_from
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.recipe.visiting import PhaseProgress

STATE = "momentum contrast"


def two_views(learner: Learner, progress: PhaseProgress, batch: Batch, generator: torch.Generator) -> Step:  # noqa: ARG001
    """Runs the forward pass of the first view. The second goes on to the loss."""
    features = learner.model.embed(batch.images)
    logits = learner.model.classifier(features)
    return Step(learner, progress, batch.images, batch.labels, features, logits, views=batch.views)


def projected(network: nn.Module, features: Tensor) -> Tensor:
    """Returns [B, dim] unit vectors of [B, d] features."""
    rows: Tensor = cast(nn.Module, network.projection)(features)
    return F.normalize(rows, dim=1)


def _keys(network: nn.Module, images: Tensor) -> Tensor:
    return projected(network, cast(Network, network).embed(images))


@dataclass(frozen=True)
class ParametricContrast:
    """The loss of a batch. It moves the key network and fills the queue of the learner's ``MomentumContrast``.

    Attributes:
        log_prior: [C] log pi.
        temperature: T.
        alpha: Weight of each pair of samples of one class.
        beta: Weight of the class.
    """

    log_prior: Tensor
    temperature: float
    alpha: float
    beta: float

    def __call__(self, step: Step) -> Tensor:
        """Returns the loss of the batch, a scalar."""
        model, contrast = step.learner.model, cast(MomentumContrast, step.learner.modules[STATE])
        anchors = step.with_rows(partial(projected, model))  # [B, dim]
        contrast.follow(model)
        keys = step.gathered(contrast.keys(_keys, step.views[0]))  # [B, dim]
        others = torch.cat([anchors, keys, contrast.queue.to(anchors)])  # [2 B + K, dim]
        labels = torch.cat([step.labels, step.labels, contrast.labels])
        loss = self.of(step.logits, anchors, step.labels, others, labels)
        contrast.add(keys, step.labels)
        return loss

    def of(self, logits: Tensor, anchors: Tensor, labels: Tensor, others: Tensor, other_labels: Tensor) -> Tensor:
        """Returns the loss, a scalar.

        Args:
            logits: [B, C] logits of the classes.
            anchors: [B, dim] unit vectors.
            labels: [B] class ids.
            others: [n, dim] vectors that the anchors are compared with. The first B are the anchors themselves.
            other_labels: [n] their class ids.
        """
        itself = torch.eye(len(anchors), len(others), dtype=torch.bool, device=anchors.device)
        similar = (anchors @ others.T / self.temperature).masked_fill(itself, -torch.inf)
        scores = torch.cat([logits + self.log_prior.to(logits), similar], 1)  # [B, C + n]
        same = (labels[:, None] == other_labels) & ~itself
        one_hot = F.one_hot(labels, logits.shape[1])
        weights = torch.cat([self.beta * one_hot.to(scores), self.alpha * same.to(scores)], 1)
        # The score of an anchor with itself is -inf and has no weight; 0 times infinity must not become NaN.
        log_p = torch.log_softmax(scores, 1).masked_fill(scores.isneginf(), 0)
        return -((weights * log_p).sum(1) / weights.sum(1)).mean()


def _network(task: Task, settings: Settings) -> Network:
    network = task.network(settings, False)
    width = network.features
    last = nn.Linear(width, int(settings["projection"]))
    nn.init.kaiming_normal_(last.weight)
    network.projection = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), last)
    classifier = nn.Linear(width, task.num_classes)  # PyTorch's own initialisation, as in the code
    network.classifier = classifier
    return network


def _recipe(method: str, task: Task, settings: Settings) -> Recipe:
    check_classes(method, task)
    counts, batch, size = train_counts(task), positive(settings, "batch"), positive(settings, "queue")
    if size % batch:
        raise LongTailError(f"queue={size}; it must be a multiple of batch={batch}, since whole batches are put in")
    check_full_batch(method, task, batch)
    temperature, momentum = above_zero(settings, "temperature"), float(settings["key_momentum"])
    if not 0 <= momentum <= 1:
        raise LongTailError(f"key_momentum={momentum}; it must be from 0 to 1")
    # With a beta of 0 a sample without others of its class would have no loss.
    alpha, beta = not_negative(settings, "alpha"), above_zero(settings, "beta")
    dim = positive(settings, "projection")
    views = (settings["augmentation"], settings["second_view"])
    check_augmentation(views[1], task.train.augmentations)

    def structure(learner: Learner) -> None:
        made = MomentumContrast(learner.model, size, dim, learner.num_classes, momentum)
        learner.modules[STATE] = made.to(learner.device)

    loss = ParametricContrast(torch.log(counts / counts.sum() + 1e-9), temperature, alpha, beta)
    recipe = one_phase(method, task, settings, loss, network=partial(_network, task, settings), forward=two_views)
    phase = replace(recipe.phases[0], structure=structure, views=views, drop_last=True)
    return replace(recipe, phases=(phase,))


_CODE = "Cui et al. 2021, code"
_SCRIPT = f"{_CODE}: PaCo/LT/sh/CIFAR100_train_imb0.01.sh"
PACO = Method(
    "paco",
    "contrast of two views with each other, a queue and the classes, whose prior is added",
    {
        "alpha": Setting(0.01, _SCRIPT),
        "beta": Setting(1.0, _SCRIPT),
        "temperature": Setting(0.05, _SCRIPT),
        "queue": Setting(1024, f"{_SCRIPT}; a multiple of the batch"),
        "projection": Setting(32, f"{_SCRIPT}: moco-dim"),
        "key_momentum": Setting(0.999, f"{_CODE}: LT/paco_cifar.py"),
        "second_view": Setting("standard", "gradlens: the code's is in the preset, as only small images have it"),
        "sampler": Setting("shuffled", "Cui et al. 2021"),
        "compute": Setting(1, "gradlens: multiple of the epochs"),
    },
    partial(_recipe, "paco"),
    approximate="torchvision's AutoAugment and blur stand for the code's, and epoch 10 of its warm-up lacks the factor 1.1",
    presets={
        "cifar100-lt-if100": {
            **settings_from(_SCRIPT, epochs=400, learning_rate=0.05, weight_decay=5e-4),
            **settings_from(
                f"{_CODE}: LT/paco_cifar.py",
                batch=128,
                schedule="steps",
                steps_at=(0.8025, 0.9025),  # after epochs 320 and 360 of 400
                steps_by=0.1,
                warm_up=10,
                augmentation="autoaugment-cutout",
                second_view="colours",
            ),
        },
    },
)
METHODS = (PACO,)
