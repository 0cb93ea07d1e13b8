"""Relations of two runs: their common groups, which run is more long-tailed, and differences of their series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradlens.estimation.interval import Interval
from gradlens.estimation.intervals import difference, paired_difference
from gradlens.metrics.gram import Floats

if TYPE_CHECKING:
    from gradlens.runlog import Run


RowIndices = NDArray[np.intp]
# Two runs are compared step by step if they share at least this fraction of their measured steps.
COMMON = 0.8


class PairError(ValueError):
    """Two runs cannot be compared. The message lists their groups and says what to do."""


def common_groups(a: Run, b: Run) -> tuple[str, ...]:
    """Returns the groups that have the same name and the same classes in both runs, in the order of ``a``.

    Raises:
        PairError: There is no such group.
    """
    shared = tuple(groups_in_common([a, b]))
    if not shared:
        raise PairError(f"no group is the same in both runs: {_listed(a)} and {_listed(b)}; {_FIX}")
    return shared


def groups_in_common(runs: Sequence[Run]) -> list[str]:
    """Returns the groups that have the same name and the same classes in all runs, in the order of the first run.

    The list may be empty.
    """
    sets = [set(zip(run.groups.names, run.groups.classes, strict=True)) for run in runs]
    if len({run.groups.members for run in runs}) > 1:
        return []
    first = zip(runs[0].groups.names, runs[0].groups.classes, strict=True) if runs else ()
    return [name for name, ids in first if all((name, ids) in found for found in sets)]


def head_and_tail(a: Run, b: Run, head: str | None = None, tail: str | None = None) -> tuple[str, str]:
    """Returns the names of the groups that are taken for head and tail.

    These are the given ones; or else "head" and "tail"; or else the first and the last common group.

    Raises:
        PairError: The runs have fewer than two groups in common, or do not share a given group.
    """
    shared = common_groups(a, b)
    for name in (head, tail):
        if name is not None and name not in shared:
            raise PairError(
                f"group {name!r} is not the same in both runs: {_listed(a)} and {_listed(b)}; choose from {shared}"
            )
    head = head or ("head" if "head" in shared else shared[0])
    tail = tail or ("tail" if "tail" in shared else shared[-1])
    if head == tail:
        raise PairError(
            f"head and tail need two groups that are the same in both runs: {_listed(a)} and {_listed(b)}; {_FIX}"
        )
    return head, tail


def long_tailed_first(a: Run, b: Run) -> tuple[Run, Run]:
    """Returns the two runs in order: first the one whose samples are spread less evenly over the classes.

    The measure is ``imbalance``, on the samples of the measured steps.
    """
    return (a, b) if imbalance(a) >= imbalance(b) else (b, a)


def common_rows(a: Run, b: Run) -> tuple[RowIndices, RowIndices] | None:
    """Returns the rows of both runs that belong to the same optimizer steps, or None if these are too few.

    They are too few if they are less than four fifths of the longer run. Runs that measured the same steps can be compared
    step by step.

    Returns:
        [n] rows of ``a`` and [n] rows of ``b``, or None.
    """
    shared, left, right = np.intersect1d(a.steps, b.steps, assume_unique=True, return_indices=True)
    return (left, right) if len(shared) >= COMMON * max(len(a), len(b), 1) else None


def run_difference(a: Run, b: Run, x: Floats, y: Floats) -> Interval:
    """Returns mean(x) - mean(y) with its interval. If both runs measured the same steps, the values are paired.

    Args:
        a: First run.
        b: Second run.
        x: [T] series of ``a``.
        y: [S] series of ``b``.
    """
    rows = common_rows(a, b)
    return difference(x, y) if rows is None else paired_difference(x[rows[0]], y[rows[1]])


def paired_text(a: Run, b: Run) -> str:
    """Returns a text that says over which steps differences are taken; "" if the runs measured different steps."""
    rows = common_rows(a, b)
    return (
        ""
        if rows is None
        else f"differences are taken step by step, over the {len(rows[0]):,} steps that both runs measured"
    )


def sample_shares(run: Run) -> dict[str, float]:
    """Returns each group's share of the samples in the measured steps; NaN if there are no samples."""
    totals = np.nansum(np.asarray(run.counts, dtype=np.float64), axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = totals / totals.sum()
    return {name: float(x) for name, x in zip(run.groups.names, shares, strict=True)}


def imbalance(run: Run) -> float:
    """Returns half the L1 distance between the groups' shares of the samples and their fractions of the classes; 0 = balanced."""
    shares = np.array(list(sample_shares(run).values()))
    return float(np.nan_to_num(0.5 * np.abs(shares - run.groups.fractions()).sum()))


def _listed(run: Run) -> str:
    # The repr of ClassGroups lists the groups with their classes. It is short even for many groups.
    return f"{run.name} has {repr(run.groups).removeprefix('ClassGroups')}"


_FIX = "measure the second run with the groups of the first (gradlens track --groups-from RUN)"
