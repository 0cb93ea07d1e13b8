"""``BranchedNetwork``: several upper parts on one lower part, as in BBN (two branches) and RIDE and SADE (experts)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from gradlens.longtail.networks.cut import Cut
from gradlens.longtail.networks.network import Network


class BranchedNetwork(Network):
    """A network whose lower part is shared and whose upper part exists several times, each with its own weights.

    Its features are those of all branches, one after the other: the first d / branches are of branch 0.

    Attributes:
        lower: The shared part.
        uppers: The upper parts, one for each branch.
    """

    def __init__(self, cut: Cut, branches: int, classifier: nn.Module) -> None:
        """Builds the network.

        Args:
            cut: The network to branch.
            branches: Number of branches.
            classifier: Maps [B, branches * cut.features] features to [B, C] logits.
        """
        super().__init__()
        self.features = branches * cut.features
        self.lower = cut.lower
        self.uppers = nn.ModuleList([cut.upper() for _ in range(branches)])
        self.classifier = classifier

    def trunk(self, images: Tensor) -> Tensor:
        """Maps [B, channels, H, W] images to [B, d] features of all branches."""
        maps = self.lower(images)
        return torch.cat([upper(maps) for upper in self.uppers], 1)

    def embed_branch(self, images: Tensor, branch: int) -> Tensor:
        """Maps [B, channels, H, W] prepared images to [B, d / branches] features of one branch."""
        return self.run_trunk(_trunk_of(branch), images)


@cache  # one function for each branch, since each is compiled once
def _trunk_of(branch: int) -> Callable[[BranchedNetwork, Tensor], Tensor]:
    def trunk(network: BranchedNetwork, images: Tensor) -> Tensor:
        features: Tensor = network.uppers[branch](network.lower(images))
        return features

    return trunk
