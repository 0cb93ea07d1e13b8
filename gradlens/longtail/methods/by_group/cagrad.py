"""CAGrad over groups of classes (Liu et al. 2021, "Conflict-Averse Gradient Descent for Multi-task Learning", Algorithm 1).

With K gradients g_i and their mean g0, w minimises <g_w, g0> + c |g0| |g_w| over the simplex, where g_w = sum_i w_i g_i. The
update is d = g0 + c |g0| / |g_w| g_w. The paper ends here. The code (Cranial-XIX/CAGrad, nyuv2/utils.py) divides d by 1 + c^2, in
its toy by 1 + c, and multiplies it by K "to match the sum loss". Where g_w is zero the code ends with g0, while TorchJD 0.18 ends
with zero; this follows the code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.by_group.group_tasks import combined_phase, group_task_settings, reduces_to_mean
from gradlens.longtail.methods.method import Method
from gradlens.longtail.recipe.combiner import Combining, Gram
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.recipe.task import Task

RESCALE = {0: "by nothing", 1: "by 1 + c^2", 2: "by 1 + c"}
# The squared length of g_w below which the objective is smooth; the gradients are scaled so that the longest is 1.
_SMOOTH = 1e-16
_GAP = 1e-10
_MOST_ROUNDS = 2000


@dataclass(frozen=True)
class CaGradWeights:
    """The weights of CAGrad.

    Attributes:
        c: Radius of the ball around the mean gradient in which the update lies, in units of its length.
        rescale: What the update is divided by: 0 = nothing, 1 = 1 + c^2, 2 = 1 + c.
        mean: True for the update as in the paper, False for K times it.
    """

    c: float
    rescale: int = 1
    mean: bool = False

    def __call__(self, gram: Gram, now: Combining) -> Gram:  # noqa: ARG002
        """See ``GroupWeights``."""
        size = len(gram)
        even = np.full(size, 1 / size)
        radius = self.c * math.sqrt(max(float(even @ gram @ even), 0.0))
        worst = worst_mixture(gram, radius)
        length = math.sqrt(max(float(worst @ gram @ worst), 0.0))
        weights = even + radius / (length + 1e-8) * worst
        divisor = (1.0, 1 + self.c**2, 1 + self.c)[self.rescale]
        return np.asarray(weights / divisor * (1 if self.mean else size))


def worst_mixture(gram: Gram, radius: float) -> Gram:
    """Returns [K] the w that minimises <g_w, g0> + radius |g_w| over the simplex.

    It moves weight from the gradient whose share costs most to the one whose share costs least, as far as it helps, until no
    move helps. For two gradients this ends after one move.

    Args:
        gram: [K, K] inner products of the gradients.
        radius: The radius.
    """
    size = len(gram)
    w = np.full(size, 1 / size)
    toward = gram.mean(1)  # [K] <g_i, g0>
    for _ in range(_MOST_ROUNDS):
        pulled = gram @ w
        length = math.sqrt(max(float(w @ pulled), 0.0) + _SMOOTH)
        slope = toward + radius * pulled / length
        low, high = int(slope.argmin()), int(np.where(w > 0, slope, -np.inf).argmax())
        if slope[high] - slope[low] <= _GAP:
            break
        # Along the move t the objective is linear t + radius sqrt(a t^2 + 2 b t + length^2).
        linear = float(toward[low] - toward[high])
        a = float(gram[low, low] - 2 * gram[low, high] + gram[high, high])
        b = float(pulled[low] - pulled[high])
        w = _moved(w, low, high, _best_move(linear, radius, a, b, length**2, float(w[high])))
    return w


def _best_move(linear: float, radius: float, a: float, b: float, square: float, most: float) -> float:
    """Returns the t in [0, most] that minimises f(t) = linear t + radius sqrt(a t^2 + 2 b t + square), where f falls at 0."""
    end = math.sqrt(max(a * most * most + 2 * b * most + square, _SMOOTH))
    if linear + radius * (a * most + b) / end <= 0:
        return most  # f still falls there
    # f' is zero where u = a t + b has u / sqrt(u^2 + a square - b^2) = ratio.
    ratio = -linear / (radius * math.sqrt(a))
    u = ratio * math.sqrt(max(a * square - b * b, 0.0) / (1 - ratio * ratio))
    return min(max((u - b) / a, 0.0), most)


def _moved(w: Gram, low: int, high: int, amount: float) -> Gram:
    moved = w.copy()
    moved[low] += amount
    moved[high] = 0.0 if amount == w[high] else w[high] - amount
    return moved


def _recipe(method: str, task: Task, settings: Settings) -> Recipe:
    c, rescale = float(settings["c"]), settings["rescale"]
    if not 0 <= c < math.inf:
        raise LongTailError(f"c={c}; the radius must be a finite number of at least 0 (0 = the mean gradient)")
    if rescale not in RESCALE:
        raise LongTailError(f"rescale={rescale}; choose {', '.join(f'{n} ({text})' for n, text in RESCALE.items())}")
    return combined_phase(method, task, settings, CaGradWeights(c, rescale, reduces_to_mean(settings)))


CAGRAD = Method(
    "cagrad",
    "cross-entropy; the update is the one near the mean gradient that helps the worse of head and tail most",
    {
        "c": Setting(0.4, "Liu et al. 2021, NYU-v2 in Cranial-XIX/CAGrad"),
        "rescale": Setting(1, "Liu et al. 2021, nyuv2/utils.py: 1 divides by 1 + c^2 (0: by nothing, as in the paper)"),
        "reduction": Setting("sum", "Liu et al. 2021, nyuv2/utils.py: K times the update; 'mean' is that of the paper"),
        **group_task_settings("Liu et al. 2021"),
    },
    partial(_recipe, "cagrad"),
)
METHODS = (CAGRAD,)
