"""Curves of one run over training: which numbers they show."""

import numpy as np
import pytest

from gradlens import figures
from gradlens.runlog import Run, RunWriter
from tests.figures.pair import traces
from tests.made_runs import make_run


def test_the_raw_line_is_faint_behind_the_smooth_one(runs):
    figure = figures.cosines(runs[0], smooth=11)
    faint, strong = figure.data[:2], figure.data[2:]
    raw = runs[0].cosine("head")
    np.testing.assert_allclose(faint[0].y, raw, rtol=1e-6)
    assert all(t.opacity < 0.5 and t.hoverinfo == "skip" and not t.showlegend for t in faint)
    assert strong[0].y[150] == pytest.approx(raw[145:156].mean(), rel=1e-6)
    # the tooltip gives the measured value too
    assert strong[0].customdata[100] == pytest.approx(raw[100], rel=1e-6)
    assert "customdata" in strong[0].hovertemplate


def test_group_loss_is_weighted_by_samples(runs):
    run = runs[0]
    figure = figures.losses(run, smooth=200)
    middle = next(t for t in figure.data if t.name == "tail" and t.showlegend).y[-1]
    rows = slice(100, 200)  # the second phase
    assert middle == pytest.approx(run.loss[rows, 1].sum() / run.counts[rows, 1].sum(), rel=1e-5)


def test_evaluations_are_drawn_in_percent(tmp_path, runs):
    figure = figures.accuracies(runs[0])
    evaluated = [t for t in figure.data if t.mode == "lines+markers" and t.xaxis == "x2"]
    assert {t.name: list(t.y) for t in evaluated} == {"head": [40, 60], "tail": [10, 15], "overall": [20, 30]}
    run = make_run(tmp_path / "fractions", steps=20, status=None)
    writer = RunWriter(tmp_path / "more", run.meta)
    writer.event("evaluation", step=3, head=0.4, tail=0.1)
    writer.close()
    figure = figures.accuracies(Run(tmp_path / "more"))
    assert {t.name: list(t.y) for t in figure.data} == {"head": [40], "tail": [10]}


def test_components_have_norms(tmp_path):
    run = make_run(tmp_path / "dual", steps=20, components=("cls", "retention"))
    figure = figures.component_norms(run, smooth=1)
    np.testing.assert_allclose(traces(figure, name="retention")[0].y, run.norm("retention"), rtol=1e-6)


def test_conflict_is_seen_from_zero(monkeypatch, long):
    monkeypatch.setattr(Run, "conflict", lambda run, a, b: np.linspace(-0.7, -0.5, len(run)))
    low, high = figures.conflicts(long).layout.yaxis.range
    assert low < -0.7
    assert 0 < high < 0.1
