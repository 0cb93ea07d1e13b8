"""A task of a few samples and a recipe of two epochs."""

import dataclasses

import torch
import torch.nn.functional as F
from torch import nn

from gradlens.longtail.data.image_set import ImageSet
from gradlens.longtail.data.labelled_images import TensorImages
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.optimization import Sgd, Steps
from gradlens.longtail.recipe.phases import TrainingPhase
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Settings
from gradlens.longtail.recipe.task import Task


class Linear(Network):
    def __init__(self, classes, signed=False):
        super().__init__()
        self.features = 4
        self.dropout = nn.Dropout(0.5)
        self.classifier = nn.Linear(4, classes)

    def trunk(self, images):
        return self.dropout(images.flatten(1))


def tiny_task(counts=(6, 3, 2)):
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    images = torch.randn(len(labels), 1, 2, 2, generator=torch.Generator().manual_seed(0))
    data = ImageSet(images, labels, tuple("abc"[: len(counts)]), "digest")
    split = TensorImages(data, "cpu")
    return Task(
        "tiny", split, {"test": split}, data.counts(), lambda settings, signed: Linear(len(counts)), Settings({})
    )


def tiny_recipe(task, loss=None, **changes):
    loss = loss or (lambda step: F.cross_entropy(step.logits, step.labels))
    phase = TrainingPhase(
        name="only", epochs=2, losses={"classification": loss}, batch=4, sgd=Sgd(0.1), schedule=Steps()
    )
    return Recipe("tiny", (dataclasses.replace(phase, **changes),), lambda: Linear(task.num_classes), Settings({}))
