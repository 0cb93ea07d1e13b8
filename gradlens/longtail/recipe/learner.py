"""``Learner``: the network in training, and everything else that a method keeps during training."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from gradlens.longtail.data.counts import Counts
from gradlens.longtail.data.labelled_images import LabelledImages
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.processes import ALONE, Processes, RunUnder, directly

FEATURE_BATCH = 500
BEST = "best"  # the module with the network of the best epoch, see ``TrainingPhase.keep_best``


@dataclass
class Learner:
    """The state of a training that is kept from phase to phase.

    Attributes:
        model: The network. Phases may replace its classifier.
        train: All training images. Class ids are in head-to-tail order.
        counts: [C] training images per class.
        device: Device of the training.
        seed: Seed of everything random.
        selected: [n] int64 positions of the images that the present phase trains on, on the CPU.
        modules: Name -> frozen copy or further module (such as "old"). Checkpoints hold them too.
        notes: Facts that a phase wants to have in the run's events.
        processes: The processes that train together.
        run: Runs a forward pass, given as a function, so that its gradients are averaged over the processes.
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
    run: RunUnder = directly

    @property
    def num_classes(self) -> int:
        """Number of classes C of the task. The present classifier may have fewer."""
        return len(self.counts)

    @torch.no_grad()
    def features(self, positions: Tensor) -> Tensor:
        """Returns [n, d] features of training images, made in eval mode with the test transform.

        Several processes share the work, and all get the whole result. Afterwards the modules have their former modes.

        Args:
            positions: [n] int64 positions of the images.
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
    """Returns a 63-bit seed for one purpose. It depends on the arguments only, and other arguments give an unrelated seed.

    With a seed for each epoch, a training can be resumed at the start of an epoch without a stored generator state.
    """
    text = "/".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
