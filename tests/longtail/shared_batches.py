"""A task whose network computes a share of a batch as it computes the batch, so that several processes can equal one."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from gradlens.longtail.data.image_set import ImageSet
from gradlens.longtail.data.labelled_images import TensorImages
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.tasks.digits import SETTINGS

# 26 + 22 head images in batches of 9: the last holds 3, shared by 2 processes or, with one for each, by 3 or 4.
COUNTS = (26, 22, 6, 4)


class Tiny(Network):
    """No BatchNorm, no dropout: nothing in which a share of a batch differs from the batch."""

    def __init__(self):
        super().__init__()
        self.features = 6
        self.body = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.GroupNorm(2, 6), nn.Tanh(), nn.Conv2d(6, 6, 3))
        self.classifier = nn.Linear(6, len(COUNTS))

    def maps(self, images):
        return self.body(images)


def shared_task():
    generator = torch.Generator().manual_seed(1)
    labels = torch.repeat_interleave(torch.arange(len(COUNTS)), torch.tensor(COUNTS))
    images = torch.randn(len(labels), 1, 4, 4, generator=generator, dtype=torch.float64) + labels.view(-1, 1, 1, 1) / 2
    split = TensorImages(ImageSet(images, labels, tuple("abcd"), "digest"), "cpu")
    return Task("tiny", split, {"test": split}, np.array(COUNTS), lambda settings, signed: Tiny(), SETTINGS)
