"""The quantities of the catalogue for a run and its groups, as series over the measured steps.

Tables and figures take the means of these series.
"""

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
    """A quantity of a group, or of the whole run, over the measured steps.

    Attributes:
        group: The group it is about, or "" for the whole run.
        title: Title of the quantity.
        values: [T] values, NaN = absent.
        quantity: Its entry in the catalogue.
    """

    group: str
    title: str
    values: Floats
    quantity: Quantity

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest value that the quantity can have. A loss with a value below 0 has no limits."""
        if self.quantity.unit is Unit.LOSS and np.any(self.values < SIZE[0]):
            return -math.inf, math.inf
        return self.quantity.range

    @property
    def range_of_differences(self) -> tuple[float, float]:
        """The lowest and the highest difference that two of its values can have."""
        width = self.range[1] - self.range[0]
        return -width, width


def quantities(run: Run, groups: Sequence[str]) -> Iterator[GroupSeries]:
    """Yields all quantities of the given groups, group by group, then the quantities of the whole run.

    Args:
        run: The run.
        groups: Names of groups.
    """
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
    """Returns [T] a quantity, filled so that means over steps are right.

    In a step without samples of the group it has the value that the catalogue says (``absent``). In a step without any numbers
    it is NaN.

    Args:
        run: The run.
        quantity: The quantity.
        *of: The group or groups that it is about.
    """
    values = run.quantity(quantity.name, *of)
    missing = np.isnan(values)
    if math.isnan(quantity.absent) or not missing.any():
        return values
    return np.asarray(np.where(missing & np.isfinite(run.share_distance()), quantity.absent, values))


def filled_share(run: Run, name: str) -> Floats:
    """Returns [T] a group's share of the update, 0 where it has no sample, so that the shares of a step add up to 1."""
    return series_of(run, QUANTITIES["share"], name)
