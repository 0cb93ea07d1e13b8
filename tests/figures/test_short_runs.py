"""Figures of runs with few measured steps beside longer ones, and what is left out of a figure."""

import numpy as np
import pytest

from gradlens import figures
from gradlens.groups import ClassGroups
from gradlens.runlog import Run
from tests.made_runs import make_run


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "short", steps=5, every=3)


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "long", steps=200)


def subtitle(figure):
    return figure.layout.title.subtitle.text


def dots(figure):
    return [t for t in figure.data if t.mode == "markers"]


def test_few_steps_are_dots_that_the_legend_leaves_out(short, long):
    found = dots(figures.cosines(short))
    assert [t.name for t in found] == ["head", "tail"]
    np.testing.assert_array_equal(found[0].x, short.steps)
    np.testing.assert_allclose(found[1].y, short.cosine("tail"), rtol=1e-6)
    assert not any(t.showlegend for t in found)
    assert not dots(figures.cosines(long, smooth=1))
    assert not dots(figures.cosines(short, smooth=3))  # dots are steps, no means


@pytest.mark.parametrize(
    "draw",
    [
        lambda *runs: figures.figure1(*runs),
        lambda *runs: figures.distortion_curves(runs),
        lambda *runs: figures.overlay(runs, "share", "tail"),
    ],
)
def test_the_subtitle_does_not_call_single_steps_means(short, long, draw):
    assert "mean over 9 steps of training, 3 to 9 of them measured" in subtitle(draw(short, long))
    assert "mean over 9 steps of training, 9 of them measured" in subtitle(draw(long, long))
    assert "every measured step" in subtitle(draw(short, short))


def test_few_bars_are_labelled_at_their_borders(short, long):
    assert list(figures.shares(short).layout.xaxis.tickvals) == [0, 3, 6, 9, 12, 15]
    assert figures.shares(long).layout.xaxis.tickvals is None


def test_conflict_is_seen_from_zero(monkeypatch, long):
    monkeypatch.setattr(Run, "conflict", lambda run, a, b: np.linspace(-0.7, -0.5, len(run)))
    low, high = figures.conflicts(long).layout.yaxis.range
    assert low < -0.7
    assert 0 < high < 0.1


@pytest.mark.parametrize(
    "draw",
    [
        lambda run: figures.layer_curves(run, run.layers[0]),
        figures.losses,
        figures.accuracies,
        figures.update_cosines,
    ],
)
def test_of_many_groups_some_from_head_to_tail_have_lines(tmp_path, draw):
    run = make_run(tmp_path / "classes", steps=5, groups=ClassGroups.per_class(15), layers=2, update=True)
    figure = draw(run)
    assert "8 of 15 groups, from the first to the last" in subtitle(figure)
    shown = [t.name for t in figure.data if t.showlegend and t.name in run.groups.names]
    assert shown == ["0", "2", "4", "6", "8", "10", "12", "14"]
    few = make_run(tmp_path / "few", steps=5, layers=2, update=True)
    assert "groups" not in subtitle(draw(few))


def test_gaps_in_heat_maps_are_explained(tmp_path):
    groups = ClassGroups.per_class(10)
    gaps = make_run(tmp_path / "gaps", steps=40, groups=groups, layers=2, absent=0.5)
    full = make_run(tmp_path / "full", steps=40, groups=groups, layers=2)
    for draw in (figures.cosines, figures.layer_heatmap):
        assert "grey: no sample" in subtitle(draw(gaps))
        assert "grey: " not in subtitle(draw(full))
