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
    """

    images: Tensor
    labels: Tensor
