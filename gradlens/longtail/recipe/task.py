"""Task: a data set made ready for training: images, counts, a network that fits and the paper's settings for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gradlens.groups import ClassGroups
from gradlens.longtail.data.counts import Counts
from gradlens.longtail.data.labelled_images import LabelledImages
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.settings import Settings


@dataclass(frozen=True)
class Task:
    """What is to be learnt.

    Attributes:
        name: As on the command line, e.g. "cifar100-lt".
        train: Training images; class ids in head-to-tail order.
        evaluations: Split name -> images. The first is evaluated after each epoch, the others at the end. "Best" epochs
            are those of the first.
        counts: [C] images per class that decide the shots and the groups. They are those of ``train``, but for a
            balanced training set that is compared with a long-tailed one.
        network: (settings, signed features) -> a network with a linear classifier of C classes, freshly initialised.
        settings: The training recipe of the data set, each value with its source.
        source: Where the data came from.
    """

    name: str
    train: LabelledImages
    evaluations: dict[str, LabelledImages]
    counts: Counts
    network: Callable[[Settings, bool], Network]
    settings: Settings
    source: str = ""

    @property
    def num_classes(self) -> int:
        """Number of classes C."""
        return len(self.counts)

    def groups(self) -> ClassGroups:
        """Returns head and tail of the task, by which its runs are measured."""
        return ClassGroups.head_tail(self.counts)

    def identity(self) -> dict[str, Any]:
        """Returns what a checkpoint must agree with."""
        return {
            "data set": self.name,
            "classes": self.num_classes,
            "training images": len(self.train.labels),
            "subset": self.train.digest,
        }
