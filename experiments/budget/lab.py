"""python lab.py CASE STEPS FOLDER plain|watched: a training of the long-tail lab, which takes steps in turns with another."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from budget.cases import CASES, CLASSES, Case
from budget.turns import Turns
from gradlens.longtail.data.image_set import ImageSet
from gradlens.longtail.data.labelled_images import STANDARD, TensorImages
from gradlens.longtail.methods import CE
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.tasks.small_images import SETTINGS
from gradlens.longtail.training.training_run import run_training
from gradlens.longtail.training.watching import Watching


class LabNetwork(Network):
    """A network of a case, as the lab needs it."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        model = case.build()
        self.features, self.classifier = model.features, model.classifier
        self.model = model
        del model.classifier  # it belongs to the lab's network, which may replace it

    def trunk(self, images: Tensor) -> Tensor:
        """Maps [B, ...] images to [B, d] features."""
        return self.model.embed(images)


class ImagesInTurns(TensorImages):
    """Images whose augmented batches, those of the training, begin a step."""

    turns: Turns

    def batches(
        self, positions: Tensor, size: int, *, augmented: bool, seed: int = 0, augmentation: str = STANDARD
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See ``LabelledImages.batches``."""
        found = super().batches(positions, size, augmented=augmented, seed=seed, augmentation=augmentation)
        if not augmented:
            yield from found
            return
        for batch in found:
            self.turns.step()
            yield batch
        self.turns.step()


def task(case: Case, steps: int) -> Task:
    """Returns the task of a case: an epoch of so many steps."""
    images, labels = case.data(steps)
    names = tuple(str(c) for c in range(CLASSES))
    data, test = ImageSet(images, labels, names), ImageSet(images[:16], labels[:16], names)
    train = ImagesInTurns(data, "cpu")
    train.turns = Turns(case.turn, steps)
    return Task(
        name="budget",
        train=train,
        evaluations={"test": TensorImages(test, "cpu")},
        counts=data.counts(),
        network=lambda _settings, _signed: LabNetwork(case),
        settings=SETTINGS.changed({"epochs": 1, "batch": case.batch, "learning_rate": 0.001}),
    )


def main() -> None:
    """Trains."""
    case, steps, folder, how = CASES[sys.argv[1]], int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
    torch.set_num_threads(1)
    chosen = task(case, steps)
    watching = Watching(probe_every=0) if how == "watched" else None
    run_training(CE.on(chosen, {}, "experiment"), chosen, folder, device="cpu", watching=watching)


if __name__ == "__main__":
    main()
