"""Whether an optimizer steps on what several backward passes gave, though ``.grad`` was zeroed between them.

Gradient surgery has a backward pass for each loss, keeps the gradients and steps on a combination of them (a sum, projections,
weights). Other scripts zero ``.grad`` because a pass was for nothing: it overflowed, or its gradient was only looked at. What the
optimizer finds tells the two apart.
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

# Two gradients are the same up to this, relative to their size, and up to a few roundings of their dtype.
SAME = 1e-5
# So are a loss's gradient and the sum of those of its terms.
SUM = 1e-3
ROUNDINGS = 4.0
# The earlier passes explain what the last one does not if less than this is left of it. In 60 small networks 0 was left by
# projections and weights, at most 0.76 by the larger of two entries, 0.2 to 0.9 by signs dropped at random (GradDrop) and values
# clipped after a projection; at least 0.87 where the earlier pass was of no use and the last one's values were clipped, scaled
# layer by layer, noisy or signs.
UNEXPLAINED = 0.8


@dataclass(frozen=True)
class Together:
    """What steps, compared with the sum of the gradients of several passes.

    Attributes:
        scale: Its size along that sum, in units of the sum.
        rest: The part of it that is no multiple of the sum.
    """

    scale: float
    rest: float


def taken_away(passes: Sequence[Grads], owned: Sequence[int]) -> list[int]:
    """Returns which of the parameters ``owned`` had gradients of earlier passes; the others have all passes' gradients anyway.

    Args:
        passes: M gradients [P], the last one's last.
        owned: Indices of parameters.
    """
    return [i for i in owned if any(gradients[i] is not None for gradients in passes[:-1])]


def step_together(products: Tensor, params: Sequence[nn.Parameter]) -> Together | None:
    """Says whether what steps is made of the gradients of all passes, each with a positive weight; waits for the device.

    It is not where it is a multiple of the last pass's gradient, which is what ``.grad`` held; nor where that is itself
    a combination of the earlier ones (a script that looks at the gradient of each term before it differentiates the total); nor
    where the earlier ones explain little of it (the last one with values clipped) or are taken off it (adversarial terms).

    Args:
        products: [M + 1, M + 1] inner products of M passes' gradients, the last one's last, and what the optimizer finds.
        params: The parameters that they are gradients of.
    """
    found = products.cpu().double().numpy()
    rounding = ROUNDINGS * max(torch.finfo(param.dtype).eps for param in params)
    if not are_summands(found, max(SAME, rounding), max(SUM, rounding)):
        return None
    along, size, stepping = float(found[-1, :-1].sum()), float(found[:-1, :-1].sum()), float(found[-1, -1])
    return Together(along / size, math.sqrt(max(1 - along**2 / size / stepping, 0.0)))


def are_summands(products: Floats, same: float, summed: float) -> bool:
    """Decides ``step_together``.

    Args:
        products: [M + 1, M + 1] inner products of M passes' gradients and what steps.
        same: Up to what relative difference two gradients are the same.
        summed: The same for a gradient and a sum of others.
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
    """Returns the part of a unit vector that no combination of others explains, and the weights of the best one."""
    known: Floats = cosines[by, vector]
    weights: Floats = np.linalg.lstsq(cosines[np.ix_(by, by)], known, rcond=1e-12)[0].astype(np.float64)
    return math.sqrt(max(1.0 - float(weights @ known), 0.0)), weights
