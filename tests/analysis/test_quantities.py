"""Series of quantities: the range that a difference may have."""

import numpy as np

from gradlens.analysis.quantities import GroupSeries
from gradlens.estimation.intervals import difference
from gradlens.metrics.catalogue import QUANTITIES


def test_intervals_of_differences_end_where_those_of_their_quantities_do():
    accuracy = GroupSeries("tail", "accuracy", np.array([0.0, 1.0]), QUANTITIES["accuracy"])
    assert accuracy.range_of_differences == (-1.0, 1.0)
    # Of 60 values of which one differs, symmetric ends reach beyond what accuracies can differ by.
    ends = difference([1.0] * 60, [0.0] * 30 + [0.3] + [0.0] * 29)
    assert ends.within(-0.998, 0.998).high == 0.998 < ends.high
    assert GroupSeries("", "norm", np.zeros(1), QUANTITIES["norm"]).range_of_differences == (-np.inf, np.inf)
