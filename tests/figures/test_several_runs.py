"""Figures of several runs: Figure 1 of the paper, distortion, and how runs are told apart."""

import numpy as np
import pytest

from gradlens import figures
from gradlens.analysis.two_runs import PairError
from gradlens.figures import FigureError
from gradlens.groups import ClassGroups
from gradlens.metrics.measurement import Measurement
from gradlens.runlog import Run, RunMeta, RunWriter
from tests.figures.pair import SHOTS, make_pair, traces
from tests.made_runs import make_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return make_pair(tmp_path_factory.mktemp("runs"))


def test_figure1_panels(runs):
    figure = figures.figure1(*runs, smooth=1)
    for name, run in zip(("x", "x2"), runs, strict=True):
        for group in ("head", "tail"):
            (line,) = [t for t in figure.data if (t.name, t.mode, t.xaxis or "x") == (group, "lines", name)]
            np.testing.assert_allclose(line.y, run.cosine(group), rtol=1e-6)
    for name, run in zip(("x3", "x4"), runs, strict=True):
        (line,) = traces(figure, name="overall", xaxis=name)
        np.testing.assert_allclose(line.y, run.norm("all"), rtol=1e-6)
        (line,) = traces(figure, name="tail", mode="lines", xaxis=name)
        np.testing.assert_allclose(line.y, run.norm("tail"), rtol=1e-6)
    # shared axes: the panels of a row have one vertical scale, all panels one horizontal one
    assert figure.layout.yaxis.range == figure.layout.yaxis2.range
    assert figure.layout.yaxis3.range == figure.layout.yaxis4.range
    matched = [figure.layout[axis].matches for axis in ("xaxis", "xaxis2", "xaxis3", "xaxis4")]
    assert matched == ["x3", "x3", None, "x3"]
    # one entry a line in the legend
    assert [t.name for t in figure.data if t.showlegend] == ["head", "tail", "overall"]
    titles = " ".join(a.text for a in figure.layout.annotations)
    for panel in "abcd":
        assert f"({panel})" in titles


def test_figure1_in_the_mean_convention(runs):
    figure = figures.figure1(*runs, per="mean", smooth=1)
    (line,) = traces(figure, name="tail", mode="lines", xaxis="x3")
    np.testing.assert_allclose(line.y, runs[0].norm("tail", per="mean"), rtol=1e-6)
    with pytest.raises(FigureError, match="per='median'"):
        figures.figure1(*runs, per="median")


def test_figure1_needs_common_groups(tmp_path, runs):
    other = make_run(tmp_path / "shots", steps=3, groups=SHOTS)
    with pytest.raises(PairError, match=r"many.*--groups-from"):
        figures.figure1(runs[0], other)


def test_figures_say_where_the_groups_of_runs_differ(tmp_path):
    one = make_run(tmp_path / "one", steps=60)
    more = make_run(tmp_path / "more", steps=60, groups=ClassGroups({"head": range(50), "tail": range(50, 100)}, 100))
    said = {
        "the groups of the runs differ": figures.distortion_curves,
        "tail has other classes in some of the runs": lambda runs: figures.overlay(runs, "share", "tail"),
    }
    for text, draw in said.items():
        assert text in draw([one, more]).layout.title.subtitle.text
        assert text not in draw([one, one]).layout.title.subtitle.text


def test_distortion_of_several_runs(runs):
    figure = figures.distortion_curves(runs, smooth=1, x="fraction")
    for line, run in zip(figure.data, runs, strict=True):
        np.testing.assert_allclose(line.y, run.share_distance(), rtol=1e-6)
        assert line.name == run.name
        assert (line.x[0], line.x[-1]) == (0, 1)
    with pytest.raises(FigureError, match="no run"):
        figures.distortion_curves([])


def test_one_training_at_two_cadences_is_drawn_alike(tmp_path):
    """Shares 0.8 and 0.2 with noise, against fractions 0.5: distortion 0.3, measured at every step and at every 10th."""
    rng = np.random.default_rng(0)
    lines = []
    runs = []
    for every in (1, 10):
        head = np.clip(0.8 + 0.1 * rng.standard_normal(3000 // every), 0.05, 0.95)
        path = tmp_path / str(every)
        writer = RunWriter(path, RunMeta.here(ClassGroups({"head": [0], "tail": [1]}, 2).to_json()))
        for t, share in enumerate(head):
            # orthogonal contributions with these squared norms have these shares
            n = np.ones(2)
            writer.append(
                Measurement(
                    t * every, 0.0, None, ("head", "tail", "rest"), np.diag([share, 1 - share, 0]), None, n, n, n, 0, 1, 0
                )
            )  # fmt: skip
        writer.close()
        runs.append(Run(path))
    figure = figures.distortion_curves(runs)
    for run in runs:
        lines.append(next(t for t in figure.data if t.name == run.name and t.showlegend))
        level = next(t for t in figure.data if t.name == run.name and t.line.width == 1 and t.hoverinfo != "skip")
        # the noise of a share over the rows of a window: 0.1 sqrt(2 / pi) / sqrt(rows)
        rows = {"1": 90, "10": 9}[run.name]
        assert np.min(level.y) == pytest.approx(0.1 * np.sqrt(2 / np.pi) / np.sqrt(rows), rel=0.3)
    assert "mean over 90 steps of training, 9 to 90 of them measured" in figure.layout.title.subtitle.text
    for line in lines:
        assert np.mean(line.y) == pytest.approx(0.3, abs=0.02)


def test_styles_differ_without_color(runs):
    figure = figures.norms(runs[0])
    strong = [t for t in figure.data if t.showlegend]
    assert len({t.line.dash for t in strong}) == len(strong) == 3
    assert strong[0].line.color == "#0072B2"
    assert strong[1].line.color == "#D55E00"
