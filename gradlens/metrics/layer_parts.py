"""LayerParts: layers are measured in parts, so that the residual over some parameters follows from inner products, too."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LayerParts:
    """The parts of L layers, Q in all. Inner products are computed for each.

    Attributes:
        part_of: [P] the part of each parameter.
        layers: [Q] the layer of each part.
        count: L.
        checked: The parts whose parameters are checked.
    """

    part_of: tuple[int, ...]
    layers: tuple[int, ...]
    count: int
    checked: tuple[int, ...]

    def by_layer(self, products: Floats) -> Floats:
        """Returns [L, W, W] inner products in each layer.

        Args:
            products: [Q, W, W] inner products in each part.
        """
        if self.layers == tuple(range(self.count)):
            return products
        found = np.zeros((self.count, *products.shape[1:]))
        with np.errstate(invalid="ignore"):  # infinity minus infinity
            for layer, part in zip(self.layers, products, strict=True):
                found[layer] += part
        return found

    def residual(self, products: Floats, signs: Floats) -> float:
        """Returns |sum of the vectors, with their signs| / |last vector| over the checked parameters.

        It follows from inner products in float64, and is exact to about 1e-8, far below the rounding of float32. It is NaN if
        nothing was checked, or if a vector is not finite.

        Args:
            products: [Q, W, W] inner products of W vectors in each part.
            signs: [W] 1, -1, or 0 for a vector that does not count.
        """
        if not self.checked:
            return math.nan
        with np.errstate(invalid="ignore"):  # infinity minus infinity
            near: Floats = products[list(self.checked)].sum(0) if len(self.checked) > 1 else products[self.checked[0]]
            if not signs.all():  # the product of 0 and a number that is not finite is none
                near, signs = near[np.ix_(signs != 0, signs != 0)], signs[signs != 0]
            gap, size = float(signs @ near @ signs), float(near[-1, -1])
        if not (math.isfinite(gap) and math.isfinite(size)):
            return math.nan
        gap = max(gap, 0.0)
        if not size:
            return math.inf if gap else math.nan
        return math.sqrt(gap) / math.sqrt(size)


@lru_cache(maxsize=64)
def layer_parts(layer_of: tuple[int, ...], count: int, near: tuple[int, ...], checked: tuple[int, ...]) -> LayerParts:
    """Divides layers into parts.

    The parts are the same whatever is checked in a step. So sums are formed in one order, and a training that is resumed, in
    which other steps are checked, records the same numbers.

    Args:
        layer_of: [P] the layer of each parameter.
        count: L, the number of layers.
        near: Indices of the parameters that have parts of their own.
        checked: Indices of the parameters that are checked: those of ``near``, all, or none.
    """
    sides = [(layer, index in set(near)) for index, layer in enumerate(layer_of)]
    # A layer without parameters here keeps its place, too.
    empty = [(layer, False) for layer in sorted(set(range(count)) - set(layer_of))]
    every = sorted({*sides, *empty})
    number = {side: part for part, side in enumerate(every)}
    return LayerParts(
        part_of=tuple(number[side] for side in sides),
        layers=tuple(layer for layer, _ in every),
        count=count,
        checked=tuple(sorted({number[sides[index]] for index in checked})),
    )
