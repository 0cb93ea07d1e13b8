"""Few-shot learning without forgetting (Gidaris & Komodakis 2018, "Dynamic few-shot visual learning without forgetting").

Phase I trains a cosine classifier on the base classes. In phase II the backbone stays as it is, and a generator of classifier
weights is trained in episodes (Section 3): some base classes play that they are new, their weights are generated from a few
exemplars, and queries of all base classes are classified. At test the weights of the few-shot classes are generated from all
their training images. As in gidariss/FewShotWithoutForgetting (lowshot_train_stage1.py and -2.py, config/imagenet_ResNet10*),
the weights of the base classes train in phase II too. Phase I trains with the settings of the data set, and neither phase with
Nesterov's momentum, which their config has.

The method comes to the tables of long-tailed recognition through OLTR (Liu et al. 2019), which does not say which classes were
base classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.common import (
    above_zero,
    check_classes,
    cosine_network,
    head_classes,
    positive,
    sgd,
    steps,
    train_counts,
)
from gradlens.longtail.methods.head_classes import HeadClasses
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.parts.cosine import CosineClassifier
from gradlens.longtail.methods.parts.episodes import Episodes
from gradlens.longtail.methods.parts.weight_generator import GeneratedClassifier
from gradlens.longtail.methods.terms import cross_entropy
from gradlens.longtail.recipe.batch import Batch
from gradlens.longtail.recipe.learner import Learner
from gradlens.longtail.recipe.phases import NO_CLASS, Step, TrainingPhase
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.recipe.visiting import PhaseProgress


@dataclass(frozen=True)
class Generation:
    """Phase II.

    Attributes:
        base: The base classes.
        episodes: The episodes.
        sharpness: Initial scale of the attention.
    """

    base: HeadClasses
    episodes: Episodes
    sharpness: float

    def add_generator(self, learner: Learner) -> None:
        """Makes the structure of phase II: the classifier of all classes, whose weights of the few-shot classes are generated."""
        own = cast(CosineClassifier, learner.model.classifier)
        images = len(self.base.tail_images(learner))
        made = GeneratedClassifier(own, learner.num_classes, images, self.sharpness)
        learner.model.classifier = made.to(own.weight)

    def remember(self, learner: Learner) -> None:
        """Gives the classifier the features of the few-shot classes. They do not change, as the backbone does not."""
        classifier = _classifier(learner)
        positions = self.base.tail_images(learner)
        classifier.exemplars.copy_(learner.features(positions))
        classifier.owners.copy_(learner.train.labels[positions] - self.base.size)

    def forward(
        self,
        learner: Learner,
        progress: PhaseProgress,
        batch: Batch,
        generator: torch.Generator,  # noqa: ARG002
    ) -> Step:
        """See ``Forward``. The batch is an episode. Its exemplars have logits too, but no class, so they have no loss."""
        processes, size, support = learner.processes, self.episodes.size, self.episodes.support
        features = learner.model.embed(batch.images)
        exemplars = processes.gather(features, size)[:support].detach()
        novel = processes.gather(batch.labels, size)[: support : self.episodes.exemplars]
        classifier = _classifier(learner)
        logits = classifier.logits(features, classifier.episode_weights(exemplars, novel))
        row = torch.arange(len(features), device=features.device) + processes.share(size).start
        labels = torch.where(row < support, NO_CLASS, batch.labels)
        return Step(learner, progress, batch.images, labels, features, logits)


def _recipe(task: Task, settings: Settings) -> Recipe:
    check_classes("fslwf", task)
    base = HeadClasses(head_classes(task, settings["head_classes"]))
    generation = Generation(base, _episodes(task, base.size, settings), above_zero(settings, "sharpness"))
    first = base.first_phase(settings)
    second = TrainingPhase(
        name="II",
        epochs=first.epochs if settings["epochs_2"] is None else positive(settings, "epochs_2"),
        losses={"classification": cross_entropy},
        batch=generation.episodes.size,
        visiting=generation.episodes,
        sgd=sgd(settings, above_zero(settings, "learning_rate_2")),
        schedule=steps(settings, "_2"),
        trainable=("classifier",),
        structure=generation.add_generator,
        initialise=generation.remember,
        select=base.images,
        forward=generation.forward,
    )
    return Recipe("fslwf", (first, second), cosine_network(task, settings), settings)


def _episodes(task: Task, base: int, settings: Settings) -> Episodes:
    """Returns the episodes, with as large a part of the base classes as in the reference.

    Raises:
        LongTailError: There are too few base classes or too few images for an episode, or a class has none.
    """
    share = float(settings["novel_share"])
    if not 0 < share < 1:
        raise LongTailError(f"novel_share={share}; it is a part of the base classes, between 0 and 1")
    if base < 2:
        raise LongTailError(
            f"fslwf needs two base classes, one that plays new and one that does not, and {task.name} has {base}; give more "
            "with --set head_classes=N"
        )
    novel = min(max(round(share * base), 1), base - 1)
    exemplars, queries = positive(settings, "exemplars"), positive(settings, "queries")
    counts = train_counts(task)
    smallest = int(counts[:base].min())
    if smallest < exemplars + queries:
        raise LongTailError(
            f"an episode takes {exemplars} exemplars and {queries} queries of a base class, and the smallest one of {task.name} "
            f"has {smallest} images; give fewer with --set exemplars=N --set queries=N, or fewer base classes with "
            "--set head_classes=N"
        )
    if not counts[base:].min():
        raise LongTailError(
            f"class {base + int(counts[base:].argmin())} of {task.name} has no training image; fslwf makes the weights of "
            "such a class from its images"
        )
    number = None if settings["episodes"] is None else positive(settings, "episodes")
    return Episodes(novel, exemplars, queries, max(1, novel * queries // 2), number)


def _classifier(learner: Learner) -> GeneratedClassifier:
    return cast(GeneratedClassifier, learner.model.classifier)


_CODE = "Gidaris & Komodakis 2018, their config of ImageNet"
FSLWF = Method(
    "fslwf",
    "cosine classifier of the head classes, then a generator of the tail's weights, trained in episodes",
    {
        "scale": Setting(10.0, _CODE),
        "head_classes": Setting(None, "gradlens: Many and Medium are base classes; OLTR does not say", int),
        "sampler": Setting("class-balanced", f"{_CODE}: images of a class that is drawn uniformly"),
        "epochs_2": Setting(None, "gradlens: as many as in phase I; 6 of 4,000 episodes in their config", int),
        "learning_rate_2": Setting(0.01, _CODE),
        "steps_at_2": Setting((2 / 3,), f"{_CODE}: epoch 4 of 6"),
        "steps_by_2": Setting(0.1, _CODE),
        "sharpness": Setting(30.0, f"{_CODE}; it is learnt on"),
        "novel_share": Setting(250 / 389, f"{_CODE}: 250 of 389 base classes play new"),
        "exemplars": Setting(5, f"gradlens: {_CODE} has 1, 2, 5, 10 and 20, each for tests with as many images"),
        "queries": Setting(6, f"{_CODE}: 1,500 of 250 classes, and half as many of the others"),
        "episodes": Setting(None, "gradlens: as many as have the images of an epoch; 4,000 in their config", int),
    },
    _recipe,
    approximate="OLTR's tables do not say which classes were base classes, nor any setting; here those with at least 20 images",
)
METHODS = (FSLWF,)
