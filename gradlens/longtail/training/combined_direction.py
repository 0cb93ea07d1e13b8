"""The groups' shares of the direction that is combined from their gradients, and their distortion.

The lens measures the gradient before it is combined. The combination is the sum over the groups of w_k g_k, with the weights of
each layer. A group's share of it is the inner product of its w_k g_k with the combination, over the square of the combination, as
its share of the gradient is with weights of 1. What comes from no sample has no part in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gradlens.estimation.interval import Interval
from gradlens.estimation.noisy_distance import distance, distance_interval
from gradlens.groups import ClassGroups
from gradlens.longtail.recipe.combiner import Gram
from gradlens.runlog import Run

EVENT = "combined"
GROUPS = "combined_groups"  # in the extra facts of the run


def combined_shares(grams: Sequence[Gram], weights: Sequence[Gram], names: Sequence[str]) -> dict[str, float]:
    """Returns the share of each group that is in the batch; empty if there is no direction.

    Args:
        grams: For each layer the [K, K] inner products of the groups' gradients.
        weights: For each layer the [K] weights.
        names: [K] names of the groups.
    """
    parts = sum(gram * np.outer(w, w) for gram, w in zip(grams, weights, strict=True))  # [K, K]
    whole = float(np.sum(parts))
    if not math.isfinite(whole) or whole <= 0:
        return {}
    return dict(zip(names, (np.sum(parts, axis=1) / whole).tolist(), strict=True))


def described(groups: ClassGroups) -> dict[str, float]:
    """Returns the fraction of the classes that each group has, for run.json."""
    return dict(zip(groups.names, groups.fractions().tolist(), strict=True))


def combined_distortion(run: Run, start: int | None = None, stop: int | None = None) -> Interval | None:
    """Returns the distortion of the combined direction with its interval; None if the run has no combined direction there.

    Args:
        run: The run.
        start: First optimizer step that counts; None = the first one.
        stop: The optimizer step after the last one that counts; None = up to the end.
    """
    fractions: dict[str, float] = run.meta.extra.get(GROUPS, {})
    shares = _shares(run, list(fractions), start, stop)
    if not len(shares):
        return None
    found = distance(shares, np.array(list(fractions.values())))
    return distance_interval([found]).within(0.0, math.inf)


def _shares(run: Run, names: Sequence[str], start: int | None, stop: int | None) -> NDArray[np.float64]:
    """Returns [T, K] shares at the measured steps; 0 for an absent group. A step that was trained again counts once."""
    of_step = {event["step"]: event["shares"] for event in run.events if event["kind"] == EVENT}
    low, high = -math.inf if start is None else start, math.inf if stop is None else stop
    return np.array(
        [[of_step[step].get(name, 0.0) for name in names] for step in sorted(of_step) if low <= step < high]
    )
