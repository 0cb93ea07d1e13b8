"""What people compare about runs, each as a series over the measured steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gradlens.metrics.gram import Floats

if TYPE_CHECKING:
    from gradlens.runlog import Run

FRACTION, COSINE, SIZE = (0.0, 1.0), (-1.0, 1.0), (0.0, math.inf)


@dataclass(frozen=True)
class Quantity:
    """A series with its name.

    Attributes:
        group: The group it is about, or "" for the whole run.
        name: What it is.
        values: [T], NaN = absent.
        percent: Whether it reads best in percent.
        range: The least and the largest value that it can have.
    """

    group: str
    name: str
    values: Floats
    percent: bool = False
    range: tuple[float, float] = (-math.inf, math.inf)

    @property
    def range_of_differences(self) -> tuple[float, float]:
        """The least and the largest difference that two of its values can have."""
        width = self.range[1] - self.range[0]
        return -width, width


def quantities(run: Run, groups: Sequence[str]) -> Iterator[Quantity]:
    """Yields everything about the given groups, group by group, then about the run as a whole."""
    counts, loss, correct = run.counts, run.loss, run.correct
    with np.errstate(invalid="ignore", divide="ignore"):
        samples = counts / counts.sum(1, keepdims=True)
        for group in groups:
            k = run.groups.names.index(group)
            n = np.where(counts[:, k] > 0, counts[:, k], np.nan)
            yield Quantity(group, "share of the samples", samples[:, k], True, FRACTION)
            yield Quantity(group, "cosine with the overall gradient", run.cosine(group), range=COSINE)
            yield Quantity(group, "share of the update", filled_share(run, group), True)
            yield Quantity(group, "norm of the contribution", run.norm(group), range=SIZE)
            yield Quantity(group, "norm of the mean gradient", run.norm(group, per="mean"), range=SIZE)
            per_sample = loss[:, k] / n
            yield Quantity(group, "loss per sample", per_sample, range=_range_of(per_sample))
            yield Quantity(group, "training accuracy", correct[:, k] / n, True, FRACTION)
    if len(groups) > 1:
        yield Quantity(
            "", f"cosine between {groups[0]} and {groups[-1]}", run.conflict(groups[0], groups[-1]), range=COSINE
        )
    yield Quantity("", "norm of the overall gradient", run.norm("all"), range=SIZE)
    yield Quantity("", "loss", run.total_loss, range=_range_of(run.total_loss))


def _range_of(losses: Floats) -> tuple[float, float]:
    """Most losses have no negative values; one that was seen to have some may have any."""
    return (-math.inf, math.inf) if np.any(losses < 0) else SIZE


def filled_share(run: Run, name: str) -> Floats:
    """Returns [T] the share of the update, 0 where the group had no sample: so the shares of a step still add up to 1.

    NaN where the step has no shares at all.
    """
    share = run.share(name)
    return np.asarray(np.where(np.isnan(share) & np.isfinite(run.share_distance()), 0.0, share))
