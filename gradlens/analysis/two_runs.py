"""What two runs have in common: groups of the same classes, and which of the two is the long-tailed one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradlens.estimation.intervals import Interval, difference, paired_difference
from gradlens.metrics.gram import Floats

if TYPE_CHECKING:
    from gradlens.runlog import Run


Rows = NDArray[np.intp]
# Part of the measured steps that two runs must share to be compared step by step.
COMMON = 0.8


class PairError(ValueError):
    """Two runs that cannot be compared; the message lists their groups and says what to do."""


def common_groups(a: Run, b: Run) -> tuple[str, ...]:
    """Returns the groups, in the order of ``a``, that have the same name and the same classes in both runs.

    Raises:
        PairError: There is none.
    """
    others = dict(zip(b.groups.names, b.groups.classes, strict=True))
    shared = tuple(n for n, ids in zip(a.groups.names, a.groups.classes, strict=True) if others.get(n) == ids)
    if not shared:
        raise PairError(f"no group is the same in both runs: {_listed(a)} and {_listed(b)}; {_FIX}")
    return shared


def groups_in_common(runs: Sequence[Run]) -> list[str]:
    """Returns the groups that have the same name and classes in all runs, in the order of the first; may be none."""
    sets = [set(zip(run.groups.names, run.groups.classes, strict=True)) for run in runs]
    first = zip(runs[0].groups.names, runs[0].groups.classes, strict=True) if runs else ()
    return [name for name, ids in first if all((name, ids) in found for found in sets)]


def head_and_tail(a: Run, b: Run, head: str | None = None, tail: str | None = None) -> tuple[str, str]:
    """Returns the two groups that play head and tail: the given ones, else "head" and "tail", else first and last in common.

    Raises:
        PairError: Fewer than two groups in common, or a given one is not among them.
    """
    shared = common_groups(a, b)
    for name in (head, tail):
        if name is not None and name not in shared:
            raise PairError(
                f"group {name!r} is not the same in both runs: {_listed(a)} and {_listed(b)}; choose of {shared}"
            )
    head = head or ("head" if "head" in shared else shared[0])
    tail = tail or ("tail" if "tail" in shared else shared[-1])
    if head == tail:
        raise PairError(
            f"head and tail need two groups that are the same in both runs: {_listed(a)} and {_listed(b)}; {_FIX}"
        )
    return head, tail


def long_tailed_first(a: Run, b: Run) -> tuple[Run, Run]:
    """Orders two runs so that the one whose samples are spread less evenly over the classes comes first.

    Measured on the samples seen: half the L1 distance between the groups' shares of samples and of classes.
    """
    return (a, b) if imbalance(a) >= imbalance(b) else (b, a)


def common_rows(a: Run, b: Run) -> tuple[Rows, Rows] | None:
    """Returns the rows of both runs that were measured at the same steps, or None where those are less than four fifths.

    Runs of one cadence are compared step by step; others have nothing to pair.
    """
    shared, left, right = np.intersect1d(a.steps, b.steps, assume_unique=True, return_indices=True)
    return (left, right) if len(shared) >= COMMON * max(len(a), len(b), 1) else None


def run_difference(a: Run, b: Run, x: Floats, y: Floats) -> Interval:
    """Returns mean(x) - mean(y) of a series [T] of ``a`` and one [S] of ``b``: in pairs where both measured the same steps."""
    rows = common_rows(a, b)
    return difference(x, y) if rows is None else paired_difference(x[rows[0]], y[rows[1]])


def sample_shares(run: Run) -> dict[str, float]:
    """Returns each group's share of the samples in the measured steps; NaN where there was none."""
    totals = np.nansum(np.asarray(run.counts, dtype=np.float64), axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = totals / totals.sum()
    return {name: float(x) for name, x in zip(run.groups.names, shares, strict=True)}


def imbalance(run: Run) -> float:
    """Returns half the L1 distance between the groups' shares of the samples and of the classes; 0 = balanced."""
    shares = np.array(list(sample_shares(run).values()))
    return float(np.nan_to_num(0.5 * np.abs(shares - run.groups.fractions()).sum()))


def _listed(run: Run) -> str:
    # The repr of ClassGroups names groups with their classes and is short even for many groups.
    return f"{run.name} has {repr(run.groups).removeprefix('ClassGroups')}"


_FIX = "measure the second run with the groups of the first (gradlens track --groups-from RUN)"
