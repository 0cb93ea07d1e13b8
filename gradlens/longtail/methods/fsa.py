"""Feature space augmentation (Chu et al. 2020, "Feature space augmentation for long-tailed data").

Stage 1 trains with cross-entropy. In stage 2 the backbone stays as it is and the classifier trains on with batches of which
one half are head images. The other half are tail images and fused samples with the labels of the tail: at random positions the
feature maps of a tail image where its class is seen, elsewhere those of an image of a confusing head class where that class is
not seen.

The authors' code is not public. Where the paper leaves a choice, this follows the unofficial
SSRSGJYD/Feature-Space-Augmentation-for-Long-Tailed-Data (phase_iii_online_train_or_test.py), but each fused sample has the label
of its own tail image: there, all have that of the first one of the batch. Its README says that the method does not help there.
If several processes train, each draws masks and head images for its own rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.common import (
    above_zero,
    check_images_of_classes,
    head_classes,
    not_negative,
    positive,
    sgd,
)
from gradlens.longtail.methods.decoupled.two_stage import both_stages, stage_1, stage_1_settings
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.parts.activation_maps import class_activation_maps, fused_maps
from gradlens.longtail.methods.terms import cross_entropy
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.batch import Batch
from gradlens.longtail.recipe.learner import Learner
from gradlens.longtail.recipe.optimization import Steps
from gradlens.longtail.recipe.phases import Step, TrainingPhase
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.recipe.visiting import PhaseProgress

CONFUSING = "confusing"


class ConfusingClasses(nn.Module):
    """The head classes that each class is most often taken for.

    Attributes:
        ids: [C, N_f] int64 ids of head classes, the most confusing one first. Rows of head classes are not used.
    """

    ids: Tensor

    def __init__(self, num_classes: int, most: int) -> None:
        """Makes the table. It is filled at the start of stage 2."""
        super().__init__()
        self.register_buffer("ids", torch.zeros(num_classes, most, dtype=torch.int64))


@dataclass(frozen=True)
class TailBatches:
    """A visiting of batches that are half tail and half head.

    The first half has each of ``tails`` images 1 + ``fused`` times in a row, each time with an augmentation of its own. The first
    of these rows stays as it is, the others become fused samples.

    Attributes:
        head: C1, the number of head classes.
        tails: N_t, tail images of a batch.
        fused: N_a, fused samples of each tail image.
    """

    head: int
    tails: int
    fused: int

    @property
    def half(self) -> int:
        """Number of tail rows, and also of head rows, of a batch."""
        return self.tails * (1 + self.fused)

    def __call__(self, labels: Tensor, progress: PhaseProgress, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """See ``Visiting``. An epoch has about as many rows as images. Head and tail images are visited in shuffled passes."""
        batches = max(1, len(labels) // (2 * self.half))
        tail, head = (torch.nonzero(part).flatten() for part in (labels >= self.head, labels < self.head))
        tails = _passes(tail, batches * self.tails, generator).view(batches, self.tails)
        heads = _passes(head, batches * self.half, generator).view(batches, self.half)
        return torch.cat([tails.repeat_interleave(1 + self.fused, dim=1), heads], dim=1).flatten()


def _passes(rows: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Returns [size] rows: all in random order, then all in another order, ..."""
    orders = [torch.randperm(len(rows), generator=generator) for _ in range(-(-size // len(rows)))]
    return rows[torch.cat(orders)[:size]]


@dataclass(frozen=True)
class Augmentation:
    """Stage 2.

    Attributes:
        batches: The batches.
        confusing: N_f, confusing head classes from which those of the fused samples are drawn.
        above: See ``fused_maps``.
        below: See ``fused_maps``.
    """

    batches: TailBatches
    confusing: int
    above: float
    below: float

    def add_table(self, learner: Learner) -> None:
        """Makes the structure of stage 2: the table of confusing classes."""
        learner.modules[CONFUSING] = ConfusingClasses(learner.num_classes, self.confusing)

    @torch.no_grad()
    def find_confusing(self, learner: Learner) -> None:
        """Fills the table: the head classes with the largest mean probability on a tail class's training images."""
        positions = torch.nonzero(learner.train.labels >= self.batches.head).flatten()
        probabilities = learner.model.classifier(learner.features(positions)).softmax(1).cpu()
        labels = learner.train.labels[positions]
        for label in range(self.batches.head, learner.num_classes):
            means = probabilities[labels == label, : self.batches.head].mean(0)
            _table(learner)[label] = means.argsort(descending=True, stable=True)[: self.confusing]

    def forward(self, learner: Learner, progress: PhaseProgress, batch: Batch, generator: torch.Generator) -> Step:
        """See ``Forward``. The images of confusing classes are read in addition to the batch."""
        model = learner.model
        with torch.no_grad():
            maps = model.feature_maps(batch.images)
            rows, partners = self._partners(learner, len(maps), batch.labels, generator)
            if len(rows):
                maps = self._with_fused(learner, maps, batch.labels, rows, partners, generator)
            features = model.pooled(maps)
        return Step(learner, progress, batch.images, batch.labels, features, model.classifier(features))

    def _partners(
        self, learner: Learner, size: int, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Returns [n] rows of this process that become fused samples, and [n] positions of head images for them."""
        batches = self.batches
        order = torch.rand(batches.tails, self.confusing, generator=generator).argsort(1)  # of the confusing classes
        first = learner.processes.share(2 * batches.half).start
        row = torch.arange(size) + first
        rows = torch.nonzero((row < batches.half) & (row % (1 + batches.fused) > 0)).flatten()
        partners = []
        for own, label in zip(row[rows].tolist(), labels[rows.to(labels.device)].tolist(), strict=True):
            image, copy = divmod(own, 1 + batches.fused)
            # with fewer confusing classes than fused samples they come again
            chosen = _table(learner)[label, order[image, (copy - 1) % self.confusing]]
            images = torch.nonzero(learner.train.labels == chosen).flatten()
            partners.append(images[torch.randint(len(images), (), generator=generator)])
        return rows, torch.stack(partners) if partners else rows

    def _with_fused(
        self,
        learner: Learner,
        maps: Tensor,
        labels: Tensor,
        rows: Tensor,
        partners: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """Returns [B, d, h, w] feature maps with fused ones in ``rows``."""
        seed = int(torch.randint(2**63 - 1, (), generator=generator))
        images, classes = next(iter(learner.train.batches(partners, len(partners), augmented=True, seed=seed)))
        weight = cast(nn.Linear, learner.model.classifier).weight
        tail, head, rows = maps[rows.to(maps.device)], learner.model.feature_maps(images), rows.to(maps.device)
        # a share of the positions that differs from sample to sample
        shape = (len(rows), *maps.shape[2:])
        mask = torch.rand(shape, generator=generator) > torch.rand(len(rows), 1, 1, generator=generator)
        fused = fused_maps(
            tail,
            head,
            class_activation_maps(tail, weight[labels[rows]]),
            class_activation_maps(head, weight[classes]),
            mask.to(maps.device),
            self.above,
            self.below,
        )
        return maps.index_copy(0, rows, fused)


def _table(learner: Learner) -> Tensor:
    return cast(ConfusingClasses, learner.modules[CONFUSING]).ids


def _recipe(task: Task, settings: Settings) -> Recipe:
    first = stage_1("fsa", task, settings, network=partial(_network, task, settings))
    check_images_of_classes("fsa", task)
    augmentation = _augmentation(task, settings)
    decay = not_negative(settings, "weight_decay_2")
    second = TrainingPhase(
        name="fused features",
        epochs=first.epochs if settings["epochs_2"] is None else positive(settings, "epochs_2"),
        losses={"classification": cross_entropy},
        batch=2 * augmentation.batches.half,
        visiting=augmentation.batches,
        sgd=replace(sgd(settings, above_zero(settings, "learning_rate_2")), parts={}, weight_decay=decay),
        schedule=Steps(()),
        trainable=("classifier",),
        structure=augmentation.add_table,
        initialise=augmentation.find_confusing,
        forward=augmentation.forward,
    )
    return both_stages(first, second)


def _augmentation(task: Task, settings: Settings) -> Augmentation:
    """Returns what stage 2 does.

    Raises:
        LongTailError: There is no head or no tail, the batch is too small, or a threshold is out of range.
    """
    head, fused, batch = head_classes(task, settings["head_classes"]), positive(settings, "fused"), settings["batch"]
    tails = batch // (2 * (1 + fused))
    if tails < 1:
        raise LongTailError(
            f"batch={batch} and fused={fused}; half a batch holds at least one tail image and its {fused} fused samples: give a "
            f"batch of at least {2 * (1 + fused)}"
        )
    above, below = float(settings["tail_above"]), float(settings["head_below"])
    if not 0 <= above < 1 or not 0 < below <= 1:
        raise LongTailError(
            f"tail_above={above}, head_below={below}; activations are from 0 to 1: give tail_above in [0, 1) and head_below in "
            "(0, 1]"
        )
    confusing = min(positive(settings, "confusing"), head)
    return Augmentation(TailBatches(head, tails, fused), confusing, above, below)


def _network(task: Task, settings: Settings) -> Network:
    network = task.network(settings, False)
    if not network.has_maps or not isinstance(network.classifier, nn.Linear):
        raise LongTailError(
            f"fsa fuses the feature maps before a linear classifier, and {type(network).__name__} has none; take another backbone"
        )
    return network


_CODE = "Chu et al. 2020, as in the configs of the unofficial repository"
FSA = Method(
    "fsa",
    "cross-entropy, then the classifier with feature maps that are fused of tail and head images",
    {
        **stage_1_settings("Chu et al. 2020"),
        "head_classes": Setting(None, "gradlens: classes with at least 20 images", int),
        "epochs_2": Setting(None, "gradlens: as many as in stage 1; 6,400 steps in the unofficial configs", int),
        "learning_rate_2": Setting(0.001, _CODE),
        "weight_decay_2": Setting(0.0, _CODE),
        "fused": Setting(3, f"{_CODE}: N_a of CIFAR; 15 for ImageNet-LT"),
        "confusing": Setting(3, f"{_CODE}: N_f of CIFAR; 15 for ImageNet-LT"),
        "tail_above": Setting(0.8, _CODE),
        "head_below": Setting(0.2, _CODE),
    },
    _recipe,
    approximate="the authors' code is not public",
)
METHODS = (FSA,)
