"""Learner: the network in training and what a method keeps beside it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from gradlens.longtail.data.counts import Counts
from gradlens.longtail.data.labelled_images import LabelledImages
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.processes import ALONE, Processes, Run, directly

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
        processes: Those that train together.
        run: Runs a forward pass of training, given as a function, so that its gradients are averaged over the processes.
    """

    model: Network
    train: LabelledImages
    counts: Counts
    device: torch.device
    seed: int
    selected: Tensor
    modules: dict[str, nn.Module] = field(default_factory=dict)
    notes: dict[str, object] = field(default_factory=dict)
    processes: Processes = ALONE
    run: Run = directly

    @property
    def num_classes(self) -> int:
        """Number of classes C of the task, also while the classifier has fewer."""
        return len(self.counts)

    @torch.no_grad()
    def features(self, positions: Tensor) -> Tensor:
        """Returns the [n, d] features of training images, made in eval mode with the test transform.

        Several processes share the work and all get the same. The modes of the model's modules are put back.
        """
        modes = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        try:
            own = positions[self.processes.share(len(positions))]
            batches = self.train.batches(own, FEATURE_BATCH, augmented=False) if len(own) else ()
            none = next(self.model.parameters()).new_zeros(0, self.model.features)
            rows = torch.cat([none, *(self.model.embed(images) for images, _ in batches)])
            return self.processes.gather(rows, len(positions))
        finally:
            for module, training in modes:
                module.training = training


def derived_seed(seed: int, *parts: object) -> int:
    """Returns a 63-bit seed for one purpose of one training: the same for the same arguments, unrelated for others.

    With a seed for each epoch, resuming at an epoch's start needs no stored state of a random number generator.
    """
    text = "/".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
