"""Reads the batches of an epoch: the images of a phase, their further views, and those of its second stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.recipe.batch import Batch
from gradlens.longtail.recipe.learner import Learner, derived_seed
from gradlens.longtail.recipe.phases import TrainingPhase
from gradlens.longtail.recipe.visiting import PhaseProgress, Visiting


def batches_of_epoch(
    index: int, phase: TrainingPhase, progress: PhaseProgress, learner: Learner
) -> Iterator[tuple[Batch, int]]:
    """Yields the batches of an epoch, each with the number of images that all processes together have in it.

    All random choices follow from the training's seed, the phase, the epoch and the process, so that a training can be resumed
    at the start of any epoch.

    Args:
        index: Index of the phase, counted from 0.
        phase: The phase.
        progress: The epoch.
        learner: The learner.

    Raises:
        LongTailError: There are fewer images than a full batch needs, or the streams differ in length.
    """
    order = _order("order", index, phase.visiting, progress, learner)
    if phase.drop_last:
        kept = order[: phase.steps(len(order)) * phase.batch]
        if len(order) and not len(kept):
            raise LongTailError(
                f"phase {phase.name!r} leaves out batches that are not full, and its {len(order)} images fill none of "
                f"batch={phase.batch}; give a smaller batch"
            )
        order = kept
    batches = _batches(index, phase, progress, learner, order, "")
    if phase.partner is not None:
        other = _order("partner order", index, phase.partner, progress, learner)
        if len(other) < len(order):
            raise LongTailError(
                f"the second stream of phase {phase.name!r} has {len(other)} images and the first {len(order)}; it needs as "
                "many"
            )
        others = _batches(index, phase, progress, learner, other[: len(order)], "partner ")
        batches = (replace(batch, partner=partner) for batch, partner in zip(batches, others, strict=True))
    for number, batch in enumerate(batches):
        yield batch, min(phase.batch, len(order) - number * phase.batch)


def _order(purpose: str, index: int, visiting: Visiting, progress: PhaseProgress, learner: Learner) -> Tensor:
    """Returns the positions of the images of an epoch in the order of the visit. It is the same in all processes."""
    generator = torch.Generator().manual_seed(derived_seed(learner.seed, purpose, index, progress.epoch))
    return learner.selected[visiting(learner.train.labels[learner.selected], progress, generator)]


def _batches(
    index: int, phase: TrainingPhase, progress: PhaseProgress, learner: Learner, order: Tensor, stream: str
) -> Iterator[Batch]:
    """Yields the batches of one stream, in this process's share."""
    processes = learner.processes
    own = (processes.rank,) if processes.rank else ()
    positions, size = processes.share_of_batches(order, phase.batch)

    def view(number: int, augmentation: str) -> Iterator[tuple[Tensor, Tensor]]:
        purpose = f"{stream}augmentation{f' of view {number}' if number else ''}"
        seed = derived_seed(learner.seed, purpose, index, progress.epoch, *own)
        return learner.train.batches(positions, size, augmented=True, seed=seed, augmentation=augmentation)

    for (images, labels), *others in zip(*(view(*each) for each in enumerate(phase.views)), strict=True):
        yield Batch(images, labels, tuple(other for other, _ in others))
