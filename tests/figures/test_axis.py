"""Where measured steps lie on the axes, by hand."""

import numpy as np
import pytest

from gradlens.figures import FigureError, cosines, units
from gradlens.figures._axis import axis_of
from gradlens.figures._bins import binned, edge_positions, edges_of
from tests.made_runs import START, make_run


def test_epochs_are_fractional(tmp_path):
    run = make_run(tmp_path / "run", steps=12, epochs=3)  # epochs 0, 1, 2 of 4 steps each
    np.testing.assert_allclose(axis_of(run, "epoch").positions, np.arange(12) / 4)
    assert axis_of(run, "epoch").title == "epoch"


def test_epochs_with_irregular_steps(tmp_path):
    run = make_run(tmp_path / "run", steps=6, epochs=2, every=10)  # steps 0 10 20 | 30 40 50
    np.testing.assert_allclose(axis_of(run, "epoch").positions, [0, 1 / 3, 2 / 3, 1, 4 / 3, 5 / 3])


def test_time_counts_from_the_start_in_minutes_or_hours(tmp_path):
    run = make_run(tmp_path / "run", steps=5)  # half a second a step
    np.testing.assert_allclose(axis_of(run, "time").positions, np.arange(5) / 120)
    assert axis_of(run, "time").title.startswith("minutes")
    early = make_run(tmp_path / "early", steps=3, started=START - 4 * 3600)
    np.testing.assert_allclose(axis_of(early, "time").positions, 4 + np.arange(3) / 7200)
    assert axis_of(early, "time").title.startswith("hours")


def test_steps_and_fractions(tmp_path):
    run = make_run(tmp_path / "run", steps=5, every=10)
    np.testing.assert_array_equal(axis_of(run, "step").positions, [0, 10, 20, 30, 40])
    np.testing.assert_allclose(axis_of(run, "fraction").positions, [0, 0.25, 0.5, 0.75, 1])


def test_steps_between_and_beyond_the_measured_ones(tmp_path):
    run = make_run(tmp_path / "run", steps=12, epochs=3, every=2)
    np.testing.assert_allclose(axis_of(run, "epoch").of_steps(run, [3, 22, 26]), [3 / 8, 22 / 8, 26 / 8])


def test_a_run_without_epochs_says_so(tmp_path):
    run = make_run(tmp_path / "run", steps=5, epochs=None)
    assert units(run) == ["step", "time", "fraction"]
    with pytest.raises(FigureError, match=r"'run' has no epochs.*'step'"):
        cosines(run, x="epoch")
    with pytest.raises(FigureError, match=r"x='hour'.*epoch"):
        cosines(run, x="hour")


def test_bins_by_hand():
    edges = edges_of(np.arange(7), 3, [])
    np.testing.assert_array_equal(edges, [0, 2, 5, 7])
    np.testing.assert_allclose(binned(np.array([1, 3, 1, np.nan, 5, np.nan, np.nan]), edges), [2, 3, np.nan])
    np.testing.assert_allclose(edge_positions(np.arange(0, 70, 10), edges), [0, 20, 50, 70])
    np.testing.assert_array_equal(edges_of(np.arange(2), 100, []), [0, 1, 2])
    np.testing.assert_allclose(edge_positions(np.array([4.0]), edges_of(np.arange(1), 9, [])), [3.5, 4.5])
