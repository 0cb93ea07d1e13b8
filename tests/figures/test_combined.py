"""Sets of runs in one figure: the mean over runs and the interval of that mean, by hand."""

import math

import numpy as np
import pytest
import scipy.stats

from gradlens import distortion, figures
from gradlens.analysis.quantities import series_of
from gradlens.figures import FigureError
from gradlens.figures._combined import GRID, averaged
from gradlens.metrics.catalogue import QUANTITIES
from tests.made_runs import make_run


def test_the_mean_and_its_interval_by_hand():
    x = np.array([0.0, 10.0])
    band = averaged([(x, np.array([1.0, 1.0])), (x, np.array([2.0, 2.0])), (x, np.array([6.0, 6.0]))])
    half = 4.302653 * math.sqrt(7 / 3)  # t(0.975; 2), variance 7 of 1, 2, 6
    assert band.mean == pytest.approx(np.full(GRID, 3.0))
    assert band.low == pytest.approx(np.full(GRID, 3 - half), rel=1e-5)
    assert band.high == pytest.approx(np.full(GRID, 3 + half), rel=1e-5)


def test_runs_of_different_length_and_with_gaps():
    short = (np.array([0.0, 4.0]), np.array([0.0, 4.0]))
    long = (np.array([0.0, 5.0, 10.0]), np.array([2.0, math.nan, 12.0]))
    band = averaged([short, long])
    assert (band.x[0], band.x[-1]) == (0, 10)
    early, late = band.x <= 4, band.x > 4
    assert band.mean[early] == pytest.approx(band.x[early] + 1)
    assert band.mean[late] == pytest.approx(band.x[late] + 2)
    assert np.isnan(band.low[late]).all(), "one run has no interval"
    assert set(band.runs) == {1.0, 2.0}


def test_a_zoomed_band_has_all_its_points_there():
    band = averaged([(np.array([0.0, 10.0]), np.array([0.0, 1.0]))], (2.0, 3.0))
    assert (band.x[0], band.x[-1], len(band.x)) == (2, 3, GRID)


def test_nothing_to_average():
    assert len(averaged([(np.array([1.0]), np.array([math.nan]))]).x) == 0


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return {
        name: [make_run(folder / f"{name}-{seed}", seed=seed, weights=weights) for seed in range(3)]
        for name, weights in (("ce", (1.0, 0.1)), ("balanced", (1.0, 1.0)))
    }


def test_the_figure_of_a_share(sets):
    figure = figures.combined(sets, "share", "tail", smooth=1)
    lines = [trace for trace in figure.data if trace.showlegend]
    bands = [trace for trace in figure.data if trace.fill == "toself"]
    assert [trace.name for trace in lines] == ["ce (3)", "balanced (3)"]
    assert len(bands) == 2
    last = np.array([series_of(run, QUANTITIES["share"], "tail")[-1] for run in sets["ce"]])
    assert lines[0].y[-1] == pytest.approx(last.mean())
    low, high = scipy.stats.t.interval(0.95, 2, last.mean(), scipy.stats.sem(last))
    assert bands[0].y[GRID - 1] == pytest.approx(low)
    assert bands[0].y[GRID] == pytest.approx(high)
    assert lines[0].customdata[-1] == pytest.approx([(high - low) / 2, 3])
    assert "mean over 3 runs of each kind" in str(figure.layout.title)


def test_the_figure_of_the_distortion(sets):
    figure = figures.combined(sets, "distortion")
    for trace, of in zip([trace for trace in figure.data if trace.showlegend], sets.values(), strict=True):
        assert np.nanmean(trace.y) == pytest.approx(np.mean([distortion(run) for run in of]), abs=0.02)


def test_a_set_of_one_run_has_no_band(sets):
    figure = figures.combined({"one": sets["ce"][:1]}, "share", "tail")
    assert not [trace for trace in figure.data if trace.fill]


def test_what_cannot_be_drawn_is_said(sets):
    with pytest.raises(FigureError, match="no run to draw"):
        figures.combined({}, "share", "tail")
    with pytest.raises(FigureError, match="has no group 'few'; it has head, tail"):
        figures.combined(sets, "share", "few")
