"""How numbers are written."""

from dataclasses import replace

import numpy as np

from gradlens.analysis.compare import compare
from gradlens.analysis.durations import span
from gradlens.estimation.interval import Interval
from gradlens.reports.text import difference_cells, difference_text, interval_text, number, percent
from tests.made_runs import make_run


def test_rounding_leaves_no_negative_zero():
    assert (percent(-0.0001), percent(-0.001), percent(0.908)) == ("0.0%", "-0.1%", "90.8%")


def test_differences_of_percentages_are_percentage_points():
    difference = Interval(-0.401, -0.415, -0.386, 50, 2)
    assert difference_text(difference, (), fraction=True) == "-40.1 points [-41.5, -38.6]"
    assert difference_text(Interval(0.119, 0.051, 0.196, 50, 2), (), fraction=True) == "+11.9 points [5.1, 19.6]"
    assert interval_text(difference, fraction=True) == "-40.1% [-41.5%, -38.6%]"
    assert difference_text(difference, (), fraction=False) == "-0.401 [-0.415, -0.386]"


def test_tiny_norms_are_written_as_they_are(tmp_path):
    runs = [
        make_run(tmp_path / name, weights=(size, size / 2), noise=(size / 9, size / 9))
        for name, size in (("a", 1e-15), ("b", 3e-15))
    ]
    means = [np.sqrt(run.gram()[:, 1, 1]).mean() for run in runs]  # of the tail's contribution
    found = compare(*runs)
    (row,) = [r for r in found.differences if (r.group, r.quantity) == ("tail", "norm of the contribution")]
    low_high = row.difference.low, row.difference.high
    expected = (f"{means[0]:.2e}", f"{means[1]:.2e}", "{:.2e} [{:.2e}, {:.2e}]".format(means[0] - means[1], *low_high))
    cells = difference_cells(row)
    assert [text.split(" [")[0] for text in cells[:2]] == list(expected[:2])
    assert cells[2] == expected[2]
    # The rounding of a difference is none.
    same = replace(row, difference=replace(row.difference, value=means[0] * 1e-14, low=0.0, high=means[0] * 1e-13))
    assert difference_cells(same)[2] == "+0.000 [0.000, 0.000]"


def test_numbers_as_text():
    assert [span(s) for s in (0.0123, 3.45, 720, 3 * 3600, 5 * 86400)] == ["12 ms", "3.5 s", "12 min", "3.0 h", "5 d"]
    assert [number(x) for x in (0.12345, 12.345, 0, 1e-5, 1e7, None, np.nan, -1e-15)] == [
        "0.123", "12.3", "0.000", "1.00e-05", "1.00e+07", "-", "-", "0.000",
    ]  # fmt: skip
    assert percent(0.0481) == "4.8%"
