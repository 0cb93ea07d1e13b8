"""Says whether an optimizer steps on the gradients of several backward passes, although ``.grad`` was zeroed between them.

Gradient surgery runs a backward pass for each loss, keeps the gradients, and steps on a combination of them (a sum, projections,
weights). Other scripts zero ``.grad`` because a pass has no effect: it overflowed, or its gradient was only looked at. The
gradient that the optimizer finds shows which of the two it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gradlens.autograd.grads import Grads
from gradlens.measure.pending_result import Floats

# Two gradients count as the same if their relative difference is at most this, or a few roundings of their dtype.
SAME = 1e-5
# The same limit for a loss's gradient and the sum of the gradients of its terms.
SUM = 1e-3
ROUNDINGS = 4.0
# The earlier passes count if they explain a part of what the last pass does not: less than this fraction of it may be left.
# What was left in 60 small networks: 0 for projections and weights; at most 0.76 for the larger of two entries; 0.2 to 0.9 for
# signs dropped at random (GradDrop) and for values clipped after a projection; at least 0.87 if the earlier pass had no effect
# and the last one's values were clipped, scaled layer by layer, noisy or replaced by their signs.
UNEXPLAINED = 0.8


@dataclass(frozen=True)
class Combination:
    """The optimizer's gradient, compared with the sum of the gradients of several passes.

    Attributes:
        scale: The length of its projection on that sum, in units of the sum.
        rest: The part of it (from 0 to 1) that is no multiple of the sum.
    """

    scale: float
    rest: float


def taken_away(passes: Sequence[Grads], owned: Sequence[int]) -> list[int]:
    """Returns which of the parameters ``owned`` have lost gradients of earlier passes. The others still hold all of them.

    Args:
        passes: The [P] gradients of M passes, in their order.
        owned: Indices of parameters.
    """
    return [i for i in owned if any(gradients[i] is not None for gradients in passes[:-1])]


def step_together(products: Tensor, params: Sequence[nn.Parameter]) -> Combination | None:
    """Says whether the optimizer's gradient is a combination of the gradients of all passes, with positive weights.

    It is not such a combination if it is a multiple of the last pass's gradient, which ``.grad`` held. Nor is it if

    - the last pass's gradient is itself a combination of the earlier ones (a script that looks at the gradient of each term
      before it differentiates the total),
    - the earlier gradients explain little of it (the last gradient with values clipped), or
    - the earlier gradients are subtracted (adversarial terms).

    It waits for the device.

    Args:
        products: [M + 1, M + 1] inner products of the gradients of M passes, in their order, and the optimizer's gradient.
        params: The parameters that these are gradients of.

    Returns:
        The comparison with the sum of all passes' gradients; None if it is no such combination.
    """
    found = products.cpu().double().numpy()
    rounding = ROUNDINGS * max(torch.finfo(param.dtype).eps for param in params)
    if not are_summands(found, max(SAME, rounding), max(SUM, rounding)):
        return None
    along, size, stepping = float(found[-1, :-1].sum()), float(found[:-1, :-1].sum()), float(found[-1, -1])
    return Combination(along / size, math.sqrt(max(1 - along**2 / size / stepping, 0.0)))


def are_summands(products: Floats, same: float, summed: float) -> bool:
    """Says whether ``step_together`` finds a combination of all passes' gradients.

    Args:
        products: [M + 1, M + 1] inner products of the gradients of M passes, in their order, and the optimizer's gradient.
        same: Two gradients count as the same up to this relative difference.
        summed: A gradient and a sum of others count as the same up to this relative difference.
    """
    sizes = np.sqrt(np.diagonal(products))
    last, stepped = len(sizes) - 2, len(sizes) - 1
    earlier = [i for i in range(last) if sizes[i] > 0]
    if not np.isfinite(products).all() or not earlier or not sizes[last] or not sizes[stepped]:
        return False
    units: Floats = np.where(sizes > 0, sizes, 1.0)
    cosines: Floats = products / units[:, None] / units
    alone, _ = _unexplained(cosines, stepped, [last])
    if alone <= same or _unexplained(cosines, last, earlier)[0] <= summed:
        return False
    together, weights = _unexplained(cosines, stepped, [*earlier, last])
    return bool(together < UNEXPLAINED * alone and (weights > -summed).all())


def _unexplained(cosines: Floats, vector: int, by: Sequence[int]) -> tuple[float, Floats]:
    """Returns the length of the part of a unit vector that no combination of others explains, and the best weights."""
    known: Floats = cosines[by, vector]
    weights: Floats = np.linalg.lstsq(cosines[np.ix_(by, by)], known, rcond=1e-12)[0].astype(np.float64)
    return math.sqrt(max(1.0 - float(weights @ known), 0.0)), weights
