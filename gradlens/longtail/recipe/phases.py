"""TrainingPhase: one stage of a training method. A method is a list of them, and `fit` runs any list.

A phase is entered in three moves, so that a training can be resumed in the middle of it:

1. ``structure`` gives the network its form (classes of the classifier, frozen copies). It depends on nothing but the
   sizes, so resuming repeats it and then fills in the stored values.
2. ``initialise`` sets values that come from data (imprinted weights). Resuming skips it.
3. ``select`` chooses the training images (an exemplar memory). Resuming takes the stored choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import Any

import torch
from torch import Tensor

from gradlens.longtail.recipe.learner import Learner
from gradlens.longtail.recipe.optimization import Schedule, Sgd, Steps
from gradlens.longtail.recipe.visiting import PhaseProgress, Visiting, shuffled


@dataclass(frozen=True)
class Step:
    """What the loss terms of one training step see.

    Where several processes train, labels, features and logits are those of the whole batch, gathered, while the images
    are this process's b of them; in one process b = B.

    Attributes:
        learner: The network and what stands beside it.
        progress: Epoch and epochs of the phase.
        images: [b, channels, H, W] network input.
        labels: [B] class ids, or [B, C] soft labels.
        features: [B, d] penultimate features.
        logits: [B, C].
        anchors: This process's tensors [b, ...] whose rows are the samples and through which every loss reaches the
            network: logits and features, and what a term adds with ``with_rows``.
        part: The step as this process's forward pass left it, with b rows; None where that is the step itself.
    """

    learner: Learner
    progress: PhaseProgress
    images: Tensor
    labels: Tensor
    features: Tensor
    logits: Tensor
    anchors: list[Tensor] = field(default_factory=list)
    part: Step | None = None

    def __post_init__(self) -> None:
        if self.part is None:
            self.anchors.extend([self.logits, self.features])

    @property
    def own(self) -> Step:
        """The step as this process's forward pass left it, with b rows."""
        return self.part or self

    def whole(self, total: int) -> Step:
        """Returns the step of all processes.

        Args:
            total: B.
        """
        gather, alone = self.learner.processes.gather, self.learner.processes.size == 1
        if alone:
            return self
        labels, features, logits = (gather(rows, total) for rows in (self.labels, self.features, self.logits))
        return Step(self.learner, self.progress, self.images, labels, features, logits, self.anchors, self)

    def gathered(self, rows: Tensor) -> Tensor:
        """Returns [B, ...] what all processes have computed of their images.

        Args:
            rows: [b, ...] of this process.
        """
        return self.learner.processes.gather(rows, len(self.labels))

    def with_rows(self, of: Callable[[Tensor], Tensor]) -> Tensor:
        """Returns a tensor [B, ...] that a loss term computes with parameters of its own, noted as an anchor.

        Args:
            of: [b, d] features -> [b, ...], row by row.
        """
        rows = of(self.own.features)
        self.anchors.append(rows)
        return self.gathered(rows)

    def measured_labels(self) -> Tensor:
        """Returns [b] or [b, C] labels of this process's rows; no class where its only row is a filler."""
        own = self.learner.processes.share(len(self.labels))
        if own.stop > own.start:
            return self.own.labels
        return torch.full_like(self.own.labels, NO_CLASS if self.labels.ndim == 1 else 0)


NO_CLASS = -100  # the label of cross_entropy that counts for nothing
LossTerm = Callable[[Step], Tensor]
Forward = Callable[[Learner, PhaseProgress, Tensor, Tensor, torch.Generator], Step]
Select = Callable[[Learner], Tensor]
Change = Callable[[Learner], None]


def classify(
    learner: Learner,
    progress: PhaseProgress,
    images: Tensor,
    labels: Tensor,
    generator: torch.Generator,  # noqa: ARG001
) -> Step:
    """The ordinary forward pass. A method that mixes images or features puts its own in the place of it."""
    features = learner.model.embed(images)
    return Step(learner, progress, images, labels, features, learner.model.classifier(features))


@dataclass(frozen=True)
class TrainingPhase:
    """One stage of training.

    Attributes:
        name: Shown as a band in every figure.
        epochs: May be 0 for a stage that only sets values (nearest class mean).
        losses: Component -> term; what is minimised is their sum, and the lens can tell them apart.
        batch: Images in a batch.
        visiting: Order of the images in each epoch.
        sgd: Optimizer settings; every phase starts a fresh optimizer.
        schedule: Learning rate over the epochs.
        trainable: Prefixes of the names of parameters that train; "" is all. Modules without any such parameter stay in
            eval mode, so that a frozen BatchNorm does not move either.
        structure: See above; None leaves the network as it is.
        initialise: See above.
        select: See above; None takes every image.
        forward: Batch -> Step.
    """

    name: str
    epochs: int
    losses: Mapping[str, LossTerm]
    batch: int = 64
    visiting: Visiting = shuffled
    sgd: Sgd = field(default_factory=Sgd)
    schedule: Schedule = field(default_factory=Steps)
    trainable: tuple[str, ...] = ("",)
    structure: Change | None = None
    initialise: Change | None = None
    select: Select | None = None
    forward: Forward = classify

    def identity(self) -> dict[str, Any]:
        """Returns what two trainings must have in common for one to go on from the other, and settings may not tell."""
        # The text of an object that does not describe itself holds its address, which no two processes share.
        schedule = str(self.schedule) if is_dataclass(self.schedule) else type(self.schedule).__qualname__
        return {
            "optimizer": str(self.sgd),
            "schedule": schedule,
            "batch": self.batch,
            "trainable": list(self.trainable),
            "losses": list(self.losses),
        }
