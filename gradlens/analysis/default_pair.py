"""Which of many runs one most likely wants to see beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import TYPE_CHECKING

from gradlens.analysis.likeness import unlike
from gradlens.analysis.two_runs import PairError, head_and_tail, imbalance

if TYPE_CHECKING:
    from gradlens.runlog import Run

# Fewer measured steps give no intervals.
ENOUGH = 30
# Of two runs whose imbalance differs by less than this, none is the long-tailed one.
APART = 0.05
# Of more runs than this, only the first are looked at.
MOST_RUNS = 40


def default_pair(runs: Sequence[Run]) -> tuple[Run, Run] | None:
    """Returns (long-tailed, balanced), or None where no two runs have two groups in common.

    With steps enough for intervals, one data set and network, one of them more balanced, one loss and one training method,
    where there are such; of those, the two whose batches differ most in how evenly samples are spread over the classes; of equal
    ones, the earlier in ``runs``.
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
    """Returns whether two runs differ in nothing but that the first is less balanced, as far as is known."""
    return not unlike(a, b) and imbalance(a) - imbalance(b) >= APART


def default_baseline(run: Run, others: Sequence[Run]) -> Run | None:
    """Returns the run to compare a run in phases with; None where there is no other.

    Of the same groups, network and data, in one phase, with steps enough for intervals, the least balanced, as far as there are
    such.
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
