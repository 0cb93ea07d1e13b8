"""OLTR (Liu et al. 2019, "Large-scale long-tailed recognition in an open world"), the part for closed sets.

Stage 1 trains with cross-entropy. In stage 2 the network gets a modulated attention and a classifier with a memory of class
centroids, and trains with four images of each class in a row. The loss is the cross-entropy and a small one that draws features
to the centroid of their class and pushes them from the others.

As in zhmiao/OpenLongTailRecognition-OLTR (config/ImageNet_LT): the centroids start as the mean features of the classes, made in
eval mode by the network of stage 2; the scores of the memory start from the classifier of stage 1. The authors have no recipe
for CIFAR: without the preset stage 1 is the data set's, and stage 2 is theirs of ImageNet-LT with as many epochs as stage 1. The
layer of 512 features that they put before the classifier (on ImageNet-LT in stage 2, on Places-LT in both) is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.common import (
    above_zero,
    check_images_of_classes,
    not_negative,
    positive,
    prefixes,
    schedule,
    sgd,
)
from gradlens.longtail.methods.decoupled.two_stage import both_stages, stage_1, stage_1_settings
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.parts.memory_classifier import MemoryClassifier, attraction, repulsion
from gradlens.longtail.methods.parts.modulated_attention import ModulatedAttention
from gradlens.longtail.methods.terms import cross_entropy
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.learner import Learner
from gradlens.longtail.recipe.phases import Step, TrainingPhase
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings, settings_from
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.recipe.visiting import visiting


@dataclass(frozen=True)
class CentroidMemory:
    """What stage 2 adds to the network.

    Attributes:
        scale: Scale of the logits.
        reach: Scale of the reachability.
        attention: False to leave out the modulated attention.
    """

    scale: float
    reach: float
    attention: bool

    def add(self, learner: Learner) -> None:
        """Makes the structure of stage 2."""
        model = learner.model
        linear = cast(nn.Linear, model.classifier)
        model.classifier = MemoryClassifier(linear, self.scale, self.reach).to(linear.weight)
        if self.attention:
            model.attention = ModulatedAttention(*_size_of_maps(learner)).to(linear.weight)

    def fill(self, learner: Learner) -> None:
        """Sets the centroids to the mean features of the classes."""
        labels = learner.train.labels.to(learner.device)
        features = learner.features(torch.arange(len(labels)))
        sums = features.new_zeros(learner.num_classes, features.shape[1]).index_add_(0, labels, features)
        means = sums / torch.bincount(labels, minlength=learner.num_classes)[:, None]
        cast(MemoryClassifier, learner.model.classifier).centroids.data.copy_(means)


@dataclass(frozen=True)
class CentroidLoss:
    """The loss of the centroids as a term of stage 2.

    Attributes:
        weight: Its weight beside the cross-entropy.
        repulsion: Weight of the repulsion in it.
        margin: Margin of the repulsion.
    """

    weight: float
    repulsion: float
    margin: float

    def __call__(self, step: Step) -> Tensor:
        """Returns the loss of the batch, a scalar."""
        centroids = cast(MemoryClassifier, step.learner.model.classifier).centroids
        labels = step.own.labels
        chosen = step.with_rows(lambda features: centroids[labels[: len(features)]])
        squares = step.with_rows(lambda features: squared_distances(features, centroids))
        drawn = attraction(step.features, chosen, step.labels, len(centroids))
        return self.weight * (drawn + self.repulsion * repulsion(squares, step.labels, self.margin))


def squared_distances(features: Tensor, centroids: Tensor) -> Tensor:
    """Returns [B, C] squared distances of features [B, d] and centroids [C, d]."""
    return features.square().sum(1, keepdim=True) - 2 * features @ centroids.T + centroids.square().sum(1)


@torch.no_grad()
def _size_of_maps(learner: Learner) -> tuple[int, int, int]:
    """Returns (channels, height, width) of the network's feature maps."""
    learner.model.eval()
    images, _ = next(iter(learner.train.batches(torch.arange(1), 1, augmented=False)))
    _, channels, height, width = learner.model.feature_maps(images).shape
    return channels, height, width


def _network(task: Task, settings: Settings) -> Network:
    network = task.network(settings, False)
    if settings["attention"] and not network.has_maps:
        raise LongTailError(
            f"{type(network).__name__} has no feature maps, to which the attention would belong; leave it out with "
            "--set attention=false"
        )
    return network


def _recipe(task: Task, settings: Settings) -> Recipe:
    first = stage_1("oltr", task, settings, network=partial(_network, task, settings))
    check_images_of_classes("oltr", task)
    memory = CentroidMemory(above_zero(settings, "scale"), above_zero(settings, "reach"), bool(settings["attention"]))
    centroids = CentroidLoss(
        *(not_negative(settings, f"centroid_{name}") for name in ("weight", "repulsion", "margin"))
    )
    parts = {
        "classifier.centroids": above_zero(settings, "centroid_learning_rate"),
        "classifier": above_zero(settings, "classifier_learning_rate_2"),
    }
    trained = prefixes(settings, "trained_parts_2")
    second = TrainingPhase(
        name="memory",
        epochs=first.epochs if settings["epochs_2"] is None else positive(settings, "epochs_2"),
        losses={"classification": cross_entropy, "centroids": centroids},
        batch=positive(settings, "batch"),
        visiting=visiting(settings["sampler_2"]),
        sgd=replace(sgd(settings, above_zero(settings, "learning_rate_2")), parts=parts),
        schedule=schedule(settings, "_2"),
        structure=memory.add,
        initialise=memory.fill,
        trainable=trained,
        moving=() if trained == ("",) else ("",),  # run_networks.py: all networks are in train mode
    )
    return both_stages(first, second)


_CODE = "Liu et al. 2019, their config of ImageNet-LT"
_LOSS = "Liu et al. 2019, DiscCentroidsLoss.py"
_PLACES = "Liu et al. 2019, config/Places_LT"


def _preset(source: str, backbone: str, **others: Any) -> dict[str, Setting]:
    return {
        "backbone": Setting(backbone, source),
        "epochs": Setting(30, source),
        "batch": Setting(128, f"{source}, since 2020"),
        "momentum": Setting(0.9, source),
        "weight_decay": Setting(5e-4, source),
        "schedule": Setting("steps", source),
        "steps_at": Setting((1 / 3, 2 / 3), f"{source}: each 10 of 30 epochs"),
        "steps_by": Setting(0.1, source),
        "warm_up": Setting(0, f"{source}: none"),
    } | settings_from(source, **others)


OLTR = Method(
    "oltr",
    "cross-entropy, then attention and a classifier with a memory of class centroids",
    {
        **stage_1_settings("Liu et al. 2019"),
        "epochs_2": Setting(
            None, "gradlens: as many as in stage 1; 60 after 30 on ImageNet-LT, 30 after 30 on Places-LT", int
        ),
        "learning_rate_2": Setting(0.01, _CODE),
        "classifier_learning_rate_2": Setting(0.1, _CODE),
        "schedule_2": Setting("steps", _CODE),
        "warm_up_2": Setting(0, f"{_CODE}: none"),
        "steps_at_2": Setting((1 / 3, 2 / 3), f"{_CODE}: each 20 of 60 epochs"),
        "steps_by_2": Setting(0.1, _CODE),
        "sampler_2": Setting("class-aware", f"{_CODE}: ClassAwareSampler, 4 images in a row"),
        "attention": Setting(True, _CODE),
        "trained_parts_2": Setting("", f"{_CODE}: all; else beginnings of parameter names, with commas"),
        "scale": Setting(16.0, "Liu et al. 2019, CosNormClassifier.py"),
        "reach": Setting(10.0, "Liu et al. 2019, MetaEmbeddingClassifier.py"),
        "centroid_learning_rate": Setting(0.01, _CODE),
        "centroid_weight": Setting(0.01, _CODE),
        "centroid_repulsion": Setting(0.01, _LOSS),
        "centroid_margin": Setting(10.0, _LOSS),
    },
    _recipe,
    approximate="the authors have no recipe for CIFAR; the layer that they put before the classifier is left out",
    presets={
        "imagenet-lt": _preset(_CODE, "resnet-10", learning_rate=0.1, epochs_2=60),
        "places-lt": _preset(
            _PLACES,
            "resnet-152",
            learning_rate=0.001,
            classifier_learning_rate=0.1,
            epochs_2=30,
            learning_rate_2=1e-4,
            classifier_learning_rate_2=0.01,
        )
        | {
            "pretrained": Setting("torchvision", f"{_PLACES}; there the weights of Caffe"),
            "trained_parts_2": Setting(
                "attention,classifier", f"{_PLACES}, stage 2: feat_model is fixed but for these"
            ),
        },
    },
)
METHODS = (OLTR,)
