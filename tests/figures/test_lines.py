"""Running means beside phases: what was measured in one phase never shows in the curve of another."""

from itertools import pairwise

import numpy as np
import pytest

from gradlens import figures
from gradlens.figures import _heat, _lines
from gradlens.groups import ClassGroups
from gradlens.runlog import Run, RunWriter
from tests.figures.pair import strong
from tests.made_runs import make_run

BEGIN = 90


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "phased"
    meta = make_run(path, steps=200, layers=2).meta
    writer = RunWriter(path, meta, resume=True)
    writer.event("phase", step=0, name="I")
    writer.event("phase", step=BEGIN, name="II")
    writer.close()
    return Run(path)


def by_hand(values, window):
    """Returns the means over the neighbours of the same phase, one step at a time."""
    found = []
    for step in range(len(values)):
        first, stop = (0, BEGIN) if step < BEGIN else (BEGIN, len(values))
        found.append(np.nanmean(values[max(first, step - window // 2) : min(stop, step + window // 2 + 1)]))
    return np.array(found)


@pytest.mark.parametrize("window", [3, 11, 151])
def test_a_running_mean_ends_with_its_phase(run, window):
    np.testing.assert_allclose(
        strong(figures.cosines(run, smooth=window), "tail").y, by_hand(run.cosine("tail"), window), rtol=1e-5
    )
    np.testing.assert_allclose(
        strong(figures.figure1(run, run, smooth=window), "overall").y, by_hand(run.norm("all"), window), rtol=1e-5
    )
    over = strong(figures.overlay([run], "share", "tail", smooth=window), run.name)
    np.testing.assert_allclose(over.y, by_hand(run.share("tail"), window), rtol=1e-5)
    layer = strong(figures.layer_curves(run, run.layers[1], smooth=window), "head")
    np.testing.assert_allclose(layer.y, by_hand(run.cosine("head", run.layers[1]), window), rtol=1e-5)


def test_distortion_is_that_of_mean_shares_of_one_phase(run):
    shares = np.stack([by_hand(run.share(name), 21) for name in run.groups.names], axis=-1)
    wanted = 0.5 * np.abs(shares - run.groups.fractions()).sum(-1)
    line = strong(figures.distortion_curves([run], smooth=21), run.name)
    np.testing.assert_allclose(line.y, wanted, rtol=1e-5)


def test_zooming_near_a_phase_shows_the_same_curve(run):
    line = strong(figures.cosines(run, smooth=21, window=(BEGIN - 15, BEGIN + 15)), "tail")
    seen = (line.x >= BEGIN - 15) & (line.x <= BEGIN + 15)
    assert seen.sum() == 31
    np.testing.assert_allclose(line.y[seen], by_hand(run.cosine("tail"), 21)[line.x[seen]], rtol=1e-5)


def test_a_long_line_breaks_as_well(run, monkeypatch):
    exact = strong(figures.cosines(run, smooth=101), "tail")
    monkeypatch.setattr(_lines, "LONG", 50)
    short = strong(figures.cosines(run, smooth=101), "tail")
    assert len(short.x) < len(exact.x) / 4
    first, second = short.y[short.x < BEGIN], short.y[short.x >= BEGIN]
    assert len(first)
    np.testing.assert_allclose(first.mean(), exact.y[:BEGIN].mean(), rtol=0.02)
    np.testing.assert_allclose(second.mean(), exact.y[BEGIN:].mean(), rtol=0.02)


@pytest.mark.parametrize("smooth", [None, 1, 20])
def test_a_bar_of_shares_stands_for_one_phase(run, smooth):
    bars = next(t for t in figures.shares(run, smooth=smooth).data if t.name == "tail")
    left, right = np.asarray(bars.x) - bars.width / 2, np.asarray(bars.x) + bars.width / 2
    assert (np.isclose(left, BEGIN)).sum() == (np.isclose(right, BEGIN)).sum() == 1
    most = {None: 4, 1: 2, 20: 21}[smooth]
    assert most / 2 <= np.median(bars.width) <= most
    share = np.nan_to_num(run.share("tail"))
    wanted = [share[round(a) : round(b)].mean() for a, b in zip(left, right, strict=True)]
    np.testing.assert_allclose(bars.y, wanted, rtol=1e-4)


@pytest.mark.parametrize(("steps", "window"), [(5, 1), (24, 2), (60, 5), (132, 9), (360, 9), (800, 20)])
def test_how_much_is_averaged_by_default(tmp_path, steps, window):
    run = make_run(tmp_path / "run", steps=steps)
    text = figures.cosines(run).layout.title.subtitle.text
    assert (f"mean of {window} measured steps" if window > 1 else "every measured step") in text


def test_a_cell_of_a_heat_map_stands_for_one_phase(run, tmp_path, monkeypatch):
    monkeypatch.setattr(_heat, "BINS", 7)
    layers = figures.layer_heatmap(run, "tail").data[0]
    make_run(tmp_path / "many", steps=200, groups=ClassGroups.per_class(12), weights=(1.0,) * 12)
    writer = RunWriter(tmp_path / "many", Run(tmp_path / "many").meta, resume=True)
    writer.event("phase", step=BEGIN, name="II")
    writer.close()
    many = Run(tmp_path / "many")
    groups = figures.cosines(many).data[0]
    of_layers = run.by_layer("cosine", "tail").T
    of_groups = np.stack([many.cosine(name) for name in many.groups.names])
    for picture, values in ((layers, of_layers), (groups, of_groups)):
        assert BEGIN in picture.x
        assert len(picture.x) == 7 + 1 + 1  # seven cells, one of them cut in two, and the end
        ends = [round(x) for x in picture.x]
        for cell, (start, stop) in enumerate(pairwise(ends)):
            np.testing.assert_allclose(picture.z[:, cell], np.nanmean(values[:, start:stop], axis=1), rtol=1e-5)


def test_a_window_spends_the_points_on_what_is_seen(tmp_path):
    run = make_run(tmp_path / "long", steps=3000)
    whole = figures.norms(run, points=100, smooth=1)
    assert all(len(t.x) <= 100 for t in whole.data)
    part = figures.norms(run, points=100, smooth=1, window=(1000, 1050))
    np.testing.assert_array_equal(part.data[0].x, np.arange(999, 1052))
