"""Chooses from many runs the two that a viewer most likely wants to compare."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import TYPE_CHECKING

from gradlens.analysis.likeness import unlike
from gradlens.analysis.two_runs import PairError, head_and_tail, imbalance

if TYPE_CHECKING:
    from gradlens.runlog import Run

# Runs with fewer measured steps than this have no intervals.
ENOUGH = 30
# If the imbalance of two runs differs by less than this, neither is more long-tailed than the other.
APART = 0.05
# At most this many runs are looked at: the first ones.
MOST_RUNS = 40


def default_pair(runs: Sequence[Run]) -> tuple[Run, Run] | None:
    """Returns (long-tailed run, balanced run), or None if no two runs have two groups in common.

    These conditions decide, the first one first:

    1. Both runs have enough steps for intervals.
    2. They have the same data set and network.
    3. One of them is clearly more balanced.
    4. Their losses have no components.
    5. They have the same training method.
    6. Their imbalances differ the most.
    7. They come earlier in ``runs``.
    """
    considered = [run for run in runs[:MOST_RUNS] if len(run)] or list(runs[:MOST_RUNS])
    spread = {id(run): imbalance(run) for run in considered}
    best: tuple[tuple[bool, bool, bool, bool, bool, float], Run, Run] | None = None
    for a, b in permutations(considered, 2):
        gap = spread[id(a)] - spread[id(b)]
        if gap < 0 or not _comparable(a, b):
            continue
        alike = a.meta.method == b.meta.method
        plain = not (a.components or b.components)
        score = (min(len(a), len(b)) >= ENOUGH, not unlike(a, b), gap >= APART, plain, alike, round(gap, 3))
        if best is None or score > best[0]:
            best = (score, a, b)
    return None if best is None else (best[1], best[2])


def long_tailed_and_balanced(a: Run, b: Run) -> bool:
    """Says whether the second run is more balanced than the first, and their data set and network are the same.

    What is not known about a run counts as the same.
    """
    return not unlike(a, b) and imbalance(a) - imbalance(b) >= APART


def default_baseline(run: Run, others: Sequence[Run]) -> Run | None:
    """Returns the best run to compare a run in phases with; None if there is no other run.

    These conditions decide, the first one first: it has the same groups, the same kind of data and network, a single phase,
    the same data set, and enough steps for intervals; of the remaining runs it is the least balanced one.

    Args:
        run: The run in phases.
        others: The runs to choose from.
    """

    def score(other: Run) -> tuple[bool, bool, bool, bool, bool, float]:
        alike, same = not unlike(run, other), other.meta.dataset == run.meta.dataset
        one_phase, enough = len(other.phases) <= 1, len(other) >= ENOUGH
        return _comparable(run, other), alike, one_phase, same, enough, round(imbalance(other), 3)

    return max(others, key=score, default=None)


def _comparable(a: Run, b: Run) -> bool:
    try:
        head_and_tail(a, b)
    except PairError:
        return False
    return True
