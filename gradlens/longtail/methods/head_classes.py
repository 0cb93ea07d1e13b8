"""``HeadClasses``: the classes that a first phase trains alone, before those of the tail join.

``dual-phase`` and ``fslwf`` begin with them.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from gradlens.longtail.methods.common import positive, schedule, sgd
from gradlens.longtail.methods.parts.cosine import CosineClassifier
from gradlens.longtail.methods.parts.prototypes import class_prototypes
from gradlens.longtail.methods.parts.resize import extended, truncated
from gradlens.longtail.methods.terms import cross_entropy
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.learner import Learner
from gradlens.longtail.recipe.modes import frozen
from gradlens.longtail.recipe.phases import TrainingPhase
from gradlens.longtail.recipe.settings import Settings
from gradlens.longtail.recipe.visiting import visiting

OLD = "old"


@dataclass(frozen=True)
class HeadClasses:
    """The head classes, which phase I trains: the first ``size`` classes of the task.

    Attributes:
        size: C1, the number of head classes.
    """

    size: int

    def first_phase(self, settings: Settings) -> TrainingPhase:
        """Returns phase I: cross-entropy on the images of the head classes (Section 3.2).

        Args:
            settings: The settings of the data set, and "sampler".

        Raises:
            LongTailError: A setting has a value that it cannot have.
        """
        return TrainingPhase(
            name="I",
            epochs=positive(settings, "epochs"),
            losses={"classification": cross_entropy},
            batch=positive(settings, "batch"),
            visiting=visiting(settings["sampler"]),
            sgd=sgd(settings),
            schedule=schedule(settings),
            structure=self.truncate,
            select=self.images,
        )

    def truncate(self, learner: Learner) -> None:
        """Makes the structure of phase I: the classifier W_c^1 of C1 classes (Equation 1)."""
        learner.model.classifier = truncated(cosine_classifier(learner.model), self.size)

    def images(self, learner: Learner) -> Tensor:
        """Returns the positions of the training images of phase I: X1."""
        return torch.nonzero(learner.train.labels < self.size).flatten()

    def tail_images(self, learner: Learner) -> Tensor:
        """Returns the positions of X2, the images of the classes that join in phase II."""
        return torch.nonzero(learner.train.labels >= self.size).flatten()

    def extend(self, learner: Learner) -> None:
        """Makes the structure of phase II: a frozen copy of the old network, and a classifier of all C classes.

        The weights of the new classes are random.
        """
        learner.modules[OLD] = frozen(copy.deepcopy(learner.model))
        learner.model.classifier = extended(cosine_classifier(learner.model), learner.num_classes)

    def imprint(self, learner: Learner) -> None:
        """Sets the weights of the new classes to the directions of their mean features (Qi et al. 2018)."""
        positions = self.tail_images(learner)
        labels = (learner.train.labels[positions] - self.size).to(learner.device)
        means = class_prototypes(learner.features(positions), labels, learner.num_classes - self.size)
        learner.model.classifier = extended(
            truncated(cosine_classifier(learner.model), self.size), learner.num_classes, means
        ).to(learner.device)


def cosine_classifier(model: Network) -> CosineClassifier:
    """Returns the network's classifier, which must be one of cosines."""
    return cast(CosineClassifier, model.classifier)
