"""The key network and the queue of momentum contrast (He et al. 2020), with the labels of the keys, as PaCo has them."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MomentumContrast(nn.Module):
    """A copy of a network that follows it slowly and makes keys, and a queue of the latest keys with their labels.

    Its state is in checkpoints. It is the same in all processes but for the statistics of BatchNorm, which nobody uses.

    Attributes:
        network: The copy. It stays in train mode, so BatchNorm uses the batch.
        queue: [K, dim] keys, at first random.
        labels: [K] their labels, at first random.
        place: Where the next keys go.
    """

    queue: Tensor
    labels: Tensor
    place: Tensor

    def __init__(self, network: nn.Module, size: int, dim: int, num_classes: int, momentum: float) -> None:
        """Copies the network.

        Args:
            network: The network.
            size: K, a multiple of the batch.
            dim: Width of a key.
            num_classes: C.
            momentum: Part of the copy's weights that stays in each update.
        """
        super().__init__()
        self.network = copy.deepcopy(network).requires_grad_(False).train()
        self.momentum = momentum
        dtype = next(self.network.parameters()).dtype
        # Unit columns, not rows, as in the code of PaCo.
        self.register_buffer("queue", F.normalize(torch.randn(size, dim, dtype=dtype), dim=0))
        self.register_buffer("labels", torch.randint(0, num_classes, (size,)))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def follow(self, network: nn.Module) -> None:
        """Moves the weights of the copy a little towards those of the network."""
        for own, other in zip(self.network.parameters(), network.parameters(), strict=True):
            own.mul_(self.momentum).add_(other, alpha=1 - self.momentum)

    @torch.no_grad()
    def keys(self, of: Callable[[nn.Module, Tensor], Tensor], images: Tensor) -> Tensor:
        """Returns [b, dim] keys of images.

        Args:
            of: Maps the network and images to keys.
            images: [b, channels, H, W] images.
        """
        return of(self.network, images)

    @torch.no_grad()
    def add(self, keys: Tensor, labels: Tensor) -> None:
        """Puts [B, dim] keys and their [B] labels into the queue, in place of the oldest."""
        start = int(self.place)
        end = start + len(keys)
        self.queue[start:end] = keys
        self.labels[start:end] = labels
        self.place.fill_(end % len(self.queue))
