"""The quantities of the catalogue for the groups of a run, as series that tables and figures take means of."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gradlens.metrics.catalogue import QUANTITIES, SIZE, Quantity, Unit, of_groups
from gradlens.metrics.gram import Floats

if TYPE_CHECKING:
    from gradlens.runlog import Run


@dataclass(frozen=True)
class GroupSeries:
    """A quantity over the measured steps, of a group or of the whole run.

    Attributes:
        group: The group it is about, or "" for the whole run.
        title: What it is.
        values: [T], NaN = absent.
        quantity: What the catalogue says about it.
    """

    group: str
    title: str
    values: Floats
    quantity: Quantity

    @property
    def range(self) -> tuple[float, float]:
        """The least and the largest value that it can have; a loss that was seen below 0 may have any."""
        if self.quantity.unit is Unit.LOSS and np.any(self.values < SIZE[0]):
            return -math.inf, math.inf
        return self.quantity.range

    @property
    def range_of_differences(self) -> tuple[float, float]:
        """The least and the largest difference that two of its values can have."""
        width = self.range[1] - self.range[0]
        return -width, width


def quantities(run: Run, groups: Sequence[str]) -> Iterator[GroupSeries]:
    """Yields every quantity of the given groups, group by group, then those of the run as a whole."""
    for group in groups:
        for quantity in of_groups():
            yield GroupSeries(group, quantity.title, series_of(run, quantity, group), quantity)
    for quantity in QUANTITIES.values():
        if quantity.of == "pair" and len(groups) > 1:
            title = quantity.title.replace("two groups", f"{groups[0]} and {groups[-1]}")
            yield GroupSeries("", title, series_of(run, quantity, groups[0], groups[-1]), quantity)
        elif quantity.of == "step" and quantity.about != "measurement":
            yield GroupSeries("", quantity.title, series_of(run, quantity), quantity)


def series_of(run: Run, quantity: Quantity, *of: str) -> Floats:
    """Returns [T] a quantity as means over steps take it: in a step without samples of the group, what the catalogue says.

    NaN where the step has no number at all.
    """
    values = run.quantity(quantity.name, *of)
    if math.isnan(quantity.absent):
        return values
    return np.asarray(np.where(np.isnan(values) & np.isfinite(run.share_distance()), quantity.absent, values))


def filled_share(run: Run, name: str) -> Floats:
    """Returns [T] the share of the update, 0 where the group had no sample: so the shares of a step still add up to 1."""
    return series_of(run, QUANTITIES["share"], name)
