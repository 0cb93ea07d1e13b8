"""Modulated attention: self-attention of feature maps, weighted by the position (Liu et al. 2019, Section 3.1)."""

from __future__ import annotations

from torch import Tensor, nn


class ModulatedAttention(nn.Module):
    """Adds to feature maps what each position recalls from all positions.

    As in zhmiao/OpenLongTailRecognition-OLTR (layers/ModulatedAttLayer.py): with queries q, keys k and values v of half the
    channels at P positions, x + m * back(softmax_p'(q_p . k_p') v), where m is a softmax over the positions of a linear layer on
    all maps. ``back`` starts at 0, so at first the maps stay as they are.

    Attributes:
        queries: Maps [B, d, h, w] to [B, d/2, h, w], as ``keys`` and ``values`` do.
        back: Maps what is recalled to d channels.
        modulation: Maps [B, d h w] to [B, h w].
    """

    def __init__(self, channels: int, height: int, width: int) -> None:
        """Makes an attention of maps of one size.

        Args:
            channels: d.
            height: h.
            width: w.
        """
        super().__init__()
        inner = max(channels // 2, 1)
        self.queries = nn.Conv2d(channels, inner, 1)
        self.keys = nn.Conv2d(channels, inner, 1)
        self.values = nn.Conv2d(channels, inner, 1)
        self.back = nn.Conv2d(inner, channels, 1, bias=False)
        self.modulation = nn.Linear(channels * height * width, height * width)
        for layer in (self.queries, self.keys, self.values):
            assert layer.bias is not None
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.back.weight)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps [B, d, h, w] feature maps to others of this shape."""
        shape = maps.shape[2:]
        queries, keys, values = (layer(maps).flatten(2) for layer in (self.queries, self.keys, self.values))
        attention = (queries.transpose(1, 2) @ keys).softmax(2)  # [B, P, P]
        recalled = (values @ attention.transpose(1, 2)).unflatten(2, shape)  # [B, d/2, h, w]
        modulation = self.modulation(maps.flatten(1)).softmax(1).unflatten(1, (1, *shape))  # [B, 1, h, w]
        attended: Tensor = maps + modulation * self.back(recalled)
        return attended
