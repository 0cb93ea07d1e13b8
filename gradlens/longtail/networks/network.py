"""``Network``: the interface of the lab's models. A backbone makes features, and a classifier on top can be replaced."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Self

import torch
from torch import Tensor, nn

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.networks.computing import Computing, compiled
from gradlens.longtail.networks.cut import Cut


class Network(nn.Module):
    """A model with a trunk that makes features, and a ``classifier``.

    A network with feature maps defines ``maps``; one without defines ``trunk``.

    Attributes:
        features: Number d of features that ``embed`` returns.
        classifier: Maps [B, d] features to [B, C] logits. It may be replaced.
        attention: Maps [B, channels, h, w] feature maps to others of this shape before they are pooled; None = they stay. A
            phase may add it.
        computing: How the trunk computes.
    """

    features: int
    classifier: nn.Module
    attention: nn.Module | None
    computing: Computing = Computing()

    def __init__(self) -> None:
        """Makes a network without attention."""
        super().__init__()
        self.attention = None

    def maps(self, images: Tensor) -> Tensor:  # noqa: ARG002
        """Maps [B, channels, H, W] prepared images to [B, d, h, w], the last feature maps before they are pooled.

        Raises:
            LongTailError: The network has no feature maps.
        """
        raise LongTailError(
            f"{type(self).__name__} has no feature maps; take another backbone, or define `maps` in the network"
        )

    @property
    def has_maps(self) -> bool:
        """Whether the network has feature maps."""
        return type(self).maps is not Network.maps

    def pooled(self, maps: Tensor) -> Tensor:
        """Maps [B, d, h, w] feature maps to [B, d] features: the mean over the positions."""
        return maps.mean((2, 3))

    def trunk(self, images: Tensor) -> Tensor:
        """Maps [B, channels, H, W] prepared images to [B, d] features before the classifier."""
        maps = self.maps(images)
        return self.pooled(maps if self.attention is None else self.attention(maps))

    def computed(self, computing: Computing) -> Self:
        """Makes the network compute in another way from now on, and returns it."""
        self.computing = computing
        return self.to(memory_format=getattr(torch, computing.memory_format))

    def before_last_block(self) -> Cut:
        """Returns the network cut before its last block, for branches that differ in one block.

        Raises:
            LongTailError: The network cannot be cut there.
        """
        raise LongTailError(
            f"{type(self).__name__} cannot be cut before its last block; take another backbone, or define "
            "`before_last_block` in the network"
        )

    def after_first_stages(self, width: float) -> Cut:  # noqa: ARG002
        """Returns the network cut after its first stages, for branches that have their own later stages.

        Args:
            width: Factor of the number of channels in the later stages.

        Raises:
            LongTailError: The network cannot be cut there.
        """
        raise LongTailError(
            f"{type(self).__name__} cannot be cut after its first stages; take another backbone, or define "
            "`after_first_stages` in the network"
        )

    def embed(self, images: Tensor) -> Tensor:
        """Maps [B, channels, H, W] prepared images to [B, d] features in the precision of the weights, by ``trunk``."""
        return self.run_trunk(type(self).trunk, images)

    def run_trunk(self, trunk: Callable[[Self, Tensor], Tensor], images: Tensor) -> Tensor:
        """Runs the trunk or a part of it, as ``computing`` says.

        Args:
            trunk: Maps this network and prepared images to [B, d] features. The same function each time: it is compiled once.
            images: [B, channels, H, W] prepared images.

        Returns:
            [B, d] features in the precision of the weights.
        """
        compile_it = self.computing.compile and self.training and torch.is_grad_enabled()
        return self._computed(partial(compiled(trunk) if compile_it else trunk, self), images)

    def feature_maps(self, images: Tensor) -> Tensor:
        """Maps [B, channels, H, W] prepared images to [B, d, h, w] in the precision of the weights, by ``maps``."""
        return self._computed(self.maps, images)

    def _computed(self, compute: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        if self.computing.memory_format == "channels_last":
            images = images.contiguous(memory_format=torch.channels_last)
        if self.computing.precision == "float32":
            return compute(images)
        with torch.autocast(images.device.type, torch.bfloat16):
            return compute(images).float()

    def forward(self, images: Tensor) -> Tensor:
        """Maps [B, channels, H, W] prepared images to [B, C] logits."""
        logits: Tensor = self.classifier(self.embed(images))
        return logits
