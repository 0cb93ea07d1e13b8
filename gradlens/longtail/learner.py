"""Learner: the network in training and what a method keeps beside it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from gradlens.longtail.counts import Counts
from gradlens.longtail.labelled_images import LabelledImages
from gradlens.longtail.network import Network

FEATURE_BATCH = 500


@dataclass
class Learner:
    """State of a training that outlives its phases.

    Attributes:
        model: The network; phases exchange its classifier.
        train: All training images; class ids are in head-to-tail order.
        counts: [C] training images per class.
        device: Where the training runs.
        seed: Seed of everything random.
        selected: [n] int64 positions of the images that the phase at hand trains on, on the CPU.
        modules: Frozen copies and auxiliary modules, by name ("old"); checkpointed with the model.
        notes: What a phase wants to be told in the run's events.
    """

    model: Network
    train: LabelledImages
    counts: Counts
    device: torch.device
    seed: int
    selected: Tensor
    modules: dict[str, nn.Module] = field(default_factory=dict)
    notes: dict[str, object] = field(default_factory=dict)

    @property
    def num_classes(self) -> int:
        """Number of classes C of the task, also while the classifier has fewer."""
        return len(self.counts)

    @torch.no_grad()
    def features(self, positions: Tensor) -> Tensor:
        """Returns the [n, d] features of training images, made in eval mode with the test transform.

        The modes of the model's modules are put back.
        """
        modes = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        try:
            batches = self.train.batches(positions, FEATURE_BATCH, augmented=False)
            return torch.cat([self.model.embed(images) for images, _ in batches])
        finally:
            for module, training in modes:
                module.training = training


def derived_seed(seed: int, *parts: object) -> int:
    """Returns a 63-bit seed for one purpose of one training: the same for the same arguments, unrelated for others.

    With a seed for each epoch, resuming at an epoch's start needs no stored state of a random number generator.
    """
    text = "/".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
