"""``TrainingPhase``: one stage of a training method. A method is a list of phases, and `fit` runs any such list.

A phase is entered in three steps, so that a training can be resumed in the middle of it:

1. ``structure`` makes the structure of the network (classes of the classifier, frozen copies). It depends only on sizes. So
   resuming repeats it, and then loads the stored values.
2. ``initialise`` sets values that depend on data (imprinted weights). Resuming skips it.
3. ``select`` chooses the training images (an exemplar memory). Resuming uses the stored choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import Any

import torch
from torch import Tensor

from gradlens.longtail.data.labelled_images import STANDARD
from gradlens.longtail.errors import LongTailError
from gradlens.longtail.recipe.batch import Batch
from gradlens.longtail.recipe.combiner import Combiner
from gradlens.longtail.recipe.learner import Learner
from gradlens.longtail.recipe.optimization import Schedule, Sgd, Steps
from gradlens.longtail.recipe.tuning import Tuning
from gradlens.longtail.recipe.visiting import PhaseProgress, Visiting, shuffled


@dataclass(frozen=True)
class Step:
    """The input of the loss terms in one training step.

    If several processes train, labels, features and logits are those of the whole batch of B samples, gathered from all
    processes. The images are the b images of this process. With one process b = B.

    Attributes:
        learner: The network and the rest of the training's state.
        progress: Epoch and epochs of the phase.
        images: [b, channels, H, W] network input.
        labels: [B] class ids, or [B, C] soft labels.
        features: [B, d] penultimate features.
        logits: [B, C] logits.
        anchors: Tensors [b, ...] of this process with one row per sample. The gradient of each loss reaches the network through
            them: logits, features, and what a term adds with ``with_rows``.
        part: The step with only the b rows of this process; None if it is this step itself.
        views: Further views of the images, each [b, channels, H, W], if a loss term needs them.
    """

    learner: Learner
    progress: PhaseProgress
    images: Tensor
    labels: Tensor
    features: Tensor
    logits: Tensor
    anchors: list[Tensor] = field(default_factory=list)
    part: Step | None = None
    views: tuple[Tensor, ...] = ()

    def __post_init__(self) -> None:
        if self.part is None:
            self.anchors.extend([self.logits, self.features])

    @property
    def own(self) -> Step:
        """The step with only the b rows of this process."""
        return self.part or self

    def whole(self, total: int) -> Step:
        """Returns the step with the rows of all processes.

        Args:
            total: B, the rows of all processes together.
        """
        gather, alone = self.learner.processes.gather, self.learner.processes.size == 1
        if alone:
            return self
        labels, features, logits = (gather(rows, total) for rows in (self.labels, self.features, self.logits))
        return Step(self.learner, self.progress, self.images, labels, features, logits, self.anchors, self, self.views)

    def gathered(self, rows: Tensor) -> Tensor:
        """Returns [B, ...] the rows of all processes.

        Args:
            rows: [b, ...] rows of this process.
        """
        return self.learner.processes.gather(rows, len(self.labels))

    def with_rows(self, of: Callable[[Tensor], Tensor]) -> Tensor:
        """Returns [B, ...] a tensor that a loss term computes from the features, and notes it as an anchor.

        A term needs this if it uses parameters in another way than the logits do.

        Args:
            of: Maps [b, d] features to [b, ...], row by row.
        """
        rows = of(self.own.features)
        self.anchors.append(rows)
        return self.gathered(rows)

    def measured_labels(self) -> Tensor:
        """Returns [b] or [b, C] labels of the rows of this process. A filler row has no class."""
        own = self.learner.processes.share(len(self.labels))
        if own.stop > own.start:
            return self.own.labels
        return torch.full_like(self.own.labels, NO_CLASS if self.labels.ndim == 1 else 0)


NO_CLASS = -100  # cross_entropy ignores this label
LossOfStep = Callable[[Step], Tensor]
Forward = Callable[[Learner, PhaseProgress, Batch, torch.Generator], Step]
Select = Callable[[Learner], Tensor]
LearnerChange = Callable[[Learner], None]


def classify(
    learner: Learner,
    progress: PhaseProgress,
    batch: Batch,
    generator: torch.Generator,  # noqa: ARG001
) -> Step:
    """Runs the ordinary forward pass. A method that mixes images or features uses a function of its own instead."""
    features = learner.model.embed(batch.images)
    return Step(learner, progress, batch.images, batch.labels, features, learner.model.classifier(features))


@dataclass(frozen=True)
class TrainingPhase:
    """One stage of training.

    Attributes:
        name: Name of the phase in figures.
        epochs: Number of epochs; 0 for a stage that only sets values (nearest class mean).
        losses: Name of a loss component -> loss term. Their sum is minimised. The lens measures each of them.
        batch: Images in a batch.
        visiting: Chooses the order of the images in each epoch.
        sgd: Settings of the optimizer. Each phase has a new optimizer.
        schedule: Schedule of the learning rate over the epochs.
        trainable: Prefixes of the names of trainable parameters; "" = all. Modules without such parameters stay in eval mode,
            so that the statistics of a frozen BatchNorm do not change.
        moving: Prefixes of the names of modules that are in train mode although they are frozen; "" = all. Their parameters stay,
            the statistics of their BatchNorm move.
        structure: See above; None = the network stays as it is.
        initialise: See above; None = nothing is set.
        select: See above; None = all images.
        forward: The forward pass: makes a ``Step`` of a batch.
        partner: Chooses the images of a second stream, as many as the first has, with an augmentation of their own. The forward
            pass gets them as ``Batch.partner``; None = there is one stream.
        views: Names of augmentations (see ``LabelledImages.batches``). The first makes ``Batch.images``, each further one makes
            another view of the same images in ``Batch.views``.
        drop_last: True to leave out the last batch of an epoch if it is not full.
        keep_best: True to keep the network of the phase's best epoch as the learner's module ``BEST``, which ``structure`` makes.
        tuning: A setting that is chosen after ``initialise``, in a phase without epochs; None = there is none.
        combine: Makes the update from the gradients of groups of classes; None = the update is the gradient of the sum of the
            losses. The lens measures that gradient, before it is combined.

    Raises:
        LongTailError: A phase with epochs has a ``tuning``.
    """

    name: str
    epochs: int
    losses: Mapping[str, LossOfStep]
    batch: int = 64
    visiting: Visiting = shuffled
    sgd: Sgd = field(default_factory=Sgd)
    schedule: Schedule = field(default_factory=Steps)
    trainable: tuple[str, ...] = ("",)
    structure: LearnerChange | None = None
    initialise: LearnerChange | None = None
    select: Select | None = None
    forward: Forward = classify
    moving: tuple[str, ...] = ()
    partner: Visiting | None = None
    views: tuple[str, ...] = (STANDARD,)
    drop_last: bool = False
    keep_best: bool = False
    tuning: Tuning | None = None
    combine: Combiner | None = None

    def __post_init__(self) -> None:
        if self.tuning is not None and self.epochs:
            raise LongTailError(
                f"phase {self.name!r} has {self.epochs} epochs, and {self.tuning.setting} is to be chosen in it; give the choice "
                "a phase of its own, with 0 epochs"
            )

    def steps(self, images: int) -> int:
        """Returns the number of steps in an epoch that visits so many images."""
        return images // self.batch if self.drop_last else -(-images // self.batch)

    def identity(self) -> dict[str, Any]:
        """Returns what must be equal for one training to continue another, and may not show in the settings."""
        # The default text of an object holds its address, which differs between processes. So only its type is used.
        schedule = str(self.schedule) if is_dataclass(self.schedule) else type(self.schedule).__qualname__
        return {
            "optimizer": self.sgd.identity(),
            "schedule": schedule,
            "batch": self.batch,
            "trainable": list(self.trainable),
            "losses": list(self.losses),
            # What came later may only show where it differs from its default, or older trainings could not be resumed.
            **({"moving": list(self.moving)} if self.moving else {}),
            **({"partner": _name(self.partner)} if self.partner else {}),
            **({"views": list(self.views)} if self.views != (STANDARD,) else {}),
            **({"drop_last": True} if self.drop_last else {}),
            **({"keep_best": True} if self.keep_best else {}),
            **({"tuning": [self.tuning.setting, *self.tuning.values]} if self.tuning else {}),
            **({"combine": self.combine.identity()} if self.combine else {}),
        }


def _name(visiting: Visiting) -> str:
    """Returns a text that is the same in all processes, which the default text of an object is not."""
    return str(getattr(visiting, "__qualname__", type(visiting).__qualname__))
