"""``Task``: a data set ready for training: images, counts, a matching network and its training settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gradlens.groups import ClassGroups
from gradlens.longtail.data.counts import Counts
from gradlens.longtail.data.labelled_images import LabelledImages
from gradlens.longtail.data.validation import HeldOut
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.settings import Settings


@dataclass(frozen=True)
class Task:
    """A data set to train and evaluate on.

    Attributes:
        name: Its name on the command line, e.g. "cifar100-lt".
        train: Training images. Class ids are in head-to-tail order.
        evaluations: Name of a split -> images. The first split is evaluated after each epoch, and decides which epoch is the
            best. The others are evaluated whenever an epoch is the best so far, and at the end.
        counts: [C] images per class that decide the shots and the groups. They are the counts of ``train``; if that is balanced,
            those of the long-tailed set that it is compared with.
        network: Makes a newly initialised network with a linear classifier of C classes. Its arguments are the settings, and
            whether features may be negative.
        settings: The training settings of the data set with their sources.
        source: Where the data came from.
        held_out: The validation images that were taken from the training set; None if there are none.
    """

    name: str
    train: LabelledImages
    evaluations: dict[str, LabelledImages]
    counts: Counts
    network: Callable[[Settings, bool], Network]
    settings: Settings
    source: str = ""
    held_out: HeldOut | None = None

    @property
    def num_classes(self) -> int:
        """Number of classes C."""
        return len(self.counts)

    def groups(self) -> ClassGroups:
        """Returns the groups head and tail, with which runs of the task are measured."""
        return ClassGroups.head_tail(self.counts)

    def identity(self) -> dict[str, Any]:
        """Returns what a checkpoint must have in common with this task."""
        held_out = {} if self.held_out is None else {"validation": self.held_out.validation.digest}
        return {
            "data set": self.name,
            "classes": self.num_classes,
            "training images": len(self.train.labels),
            "subset": self.train.digest,
            **held_out,
        }
