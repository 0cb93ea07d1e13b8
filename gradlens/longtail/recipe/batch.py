"""``Batch``: what one training step reads from the data."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """The images of one training step, those of this process if several train.

    Attributes:
        images: [b, channels, H, W] network input.
        labels: [b] int64 class ids, or [b, C] soft labels.
        views: Further augmentations of the same images, each [b, channels, H, W]: those that ``TrainingPhase.views`` names after
            the first.
        partner: The batch of the second stream, with as many images; None if the phase has none.
    """

    images: Tensor
    labels: Tensor
    views: tuple[Tensor, ...] = ()
    partner: Batch | None = None
