"""Figure 1 of the paper: its panels, its axes, and which runs it takes."""

import numpy as np
import pytest

from gradlens import figures
from gradlens.analysis.two_runs import PairError
from gradlens.figures import FigureError
from tests.figures.pair import SHOTS, traces
from tests.made_runs import make_run


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
