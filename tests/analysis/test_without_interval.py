"""Columns and rows without an interval are named, each reason once."""

import numpy as np

from gradlens.analysis.without_interval import without_interval
from gradlens.estimation.interval import Interval


def test_columns_and_rows_without_an_interval_are_named():
    fine = Interval(0.9, 0.7, 1.1, 60, 5)
    slow, missing = Interval.none(1.0, 60, "too slow"), Interval.none(np.nan, 0)
    cells = [("a", row, Interval.none(1.0, n)) for row, n in (("loss", 5), ("norm", 12))]
    cells += [
        ("b", "loss", fine),
        ("b", "norm", slow),
        ("c", "loss", fine),
        ("c", "norm", slow),
        ("c", "share", missing),
    ]
    assert without_interval(cells) == (
        "Without an interval: a: 5 to 12 measured steps can be used; an interval needs 53. "
        "Without an interval: b, c (norm): too slow."
    )
    many = [("b", f"row {i}", slow) for i in range(5)] + [("b", "loss", fine)]
    assert without_interval(many) == "Without an interval: b (row 0, row 1, row 2 and 2 more): too slow."
    assert without_interval([("a", "loss", fine), ("a", "norm", missing)]) == ""
    one = without_interval([("a", "", Interval.none(1.0, 1))])
    assert one == "Without an interval: a: 1 measured step can be used; an interval needs 53."
