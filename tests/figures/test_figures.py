"""Figures of made-up runs: what is drawn, with which numbers, and what happens at the borders."""

import json
import time

import numpy as np
import pytest

from gradlens import figures
from gradlens.figures import FigureError
from gradlens.groups import ClassGroups
from gradlens.runlog import Run, RunWriter
from tests.figures.pair import SHOTS, make_pair, traces
from tests.made_runs import HEAD_TAIL, make_run

NASTY = "<script>alert(1)<|script>%{nasty}$a$<b>"  # a group's name cannot hold a slash


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return make_pair(tmp_path_factory.mktemp("runs"))


ONE_RUN = {
    "cosines": figures.cosines,
    "norms": figures.norms,
    "mean norms": lambda run, **o: figures.norms(run, per="mean", log=True, **o),
    "shares": figures.shares,
    "conflicts": figures.conflicts,
    "losses": figures.losses,
    "accuracies": figures.accuracies,
    "updates": figures.update_cosines,
    "components": figures.component_norms,
    "layers": figures.layer_heatmap,
    "distortion": lambda run, **o: figures.distortion_curves([run], **o),
    "figure 1": lambda run, **o: figures.figure1(run, run, **o),
}


@pytest.mark.parametrize("name", ONE_RUN)
@pytest.mark.parametrize("x", figures.UNITS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_figure_over_every_axis(runs, name, x, theme):
    figure = ONE_RUN[name](runs[0], x=x, theme=theme)
    colors = figures.theme_of(theme)
    assert figure.layout.title.text
    assert figure.layout.paper_bgcolor == colors.paper
    assert figure.layout.font.color == colors.ink
    assert name == "components" or len(figure.data) > 0
    assert len(figure.to_json()) < 400_000


@pytest.mark.parametrize("name", ONE_RUN)
def test_every_figure_of_a_run_without_steps_says_so(tmp_path, name):
    run = make_run(tmp_path / "empty", steps=0)
    figure = ONE_RUN[name](run)
    texts = " ".join(a.text for a in figure.layout.annotations)
    assert any(word in texts for word in ("No measured step", "not measured", "not split", "unknown"))


@pytest.mark.parametrize("name", ONE_RUN)
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_every_figure_of_a_very_short_run(tmp_path, name, steps):
    run = make_run(tmp_path / "short", steps=steps, layers=2, update=True, components=("cls", "intra"), absent=0.5)
    assert json.loads(ONE_RUN[name](run).to_json())["data"]


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


def test_absent_groups_leave_gaps_and_lonely_values_are_seen(runs):
    figure = figures.cosines(runs[0], smooth=1)
    tail, dots = figure.data[1], figure.data[-1]
    absent = np.isnan(runs[0].cosine("tail"))
    assert 30 < absent.sum() < 90
    np.testing.assert_array_equal(np.isnan(tail.y), absent)
    lonely = ~absent & np.append(True, absent[:-1]) & np.append(absent[1:], True)
    assert lonely.any()
    assert (dots.mode, dots.legendgroup, dots.showlegend) == ("markers", "tail", False)
    np.testing.assert_array_equal(dots.x, runs[0].steps[lonely])
    np.testing.assert_array_equal(dots.y, tail.y[lonely])


def test_group_loss_is_weighted_by_samples(runs):
    run = runs[0]
    figure = figures.losses(run, smooth=200)
    middle = next(t for t in figure.data if t.name == "tail" and t.showlegend).y[-1]
    rows = slice(100, 200)  # the second phase
    assert middle == pytest.approx(run.loss[rows, 1].sum() / run.counts[rows, 1].sum(), rel=1e-5)


def test_shares_add_up_to_one(runs):
    figure = figures.shares(runs[0])
    total = np.sum([t.y for t in figure.data], axis=0)
    np.testing.assert_allclose(total, 1, atol=1e-3)
    assert figure.layout.barmode == "relative"
    dashed = [s for s in figure.layout.shapes if s.line.dash == "dash"]
    assert [s.y0 for s in dashed] == pytest.approx([0.7])


def test_phases_and_marks(runs):
    figure = figures.cosines(runs[0], x="epoch")
    bands = [s for s in figure.layout.shapes if s.type == "rect"]
    assert [(s.x0, s.x1) for s in bands] == [pytest.approx((0, 5)), pytest.approx((5, 9.95))]
    texts = [a.text for a in figure.layout.annotations]
    assert any("phase I" in t for t in texts)
    assert any("learning rate" in t for t in texts)
    (line,) = [s for s in figure.layout.shapes if s.type == "line" and s.line.dash == "dot"]
    assert line.x0 == pytest.approx(7.5)


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


def test_layers(runs):
    figure = figures.layer_heatmap(runs[0], "tail", "norm")
    heat = figure.data[0]
    assert np.asarray(heat.z).shape == (4, 160)
    norm = runs[0].norm("tail", layer="block.0.conv")
    # the cells are means over 1 or 2 of 200 steps: all of them together are the mean of the run
    widths = np.diff(np.linspace(0, 200, 161).round())
    weights = [
        np.isfinite(norm[int(a) : int(b)]).sum()
        for a, b in zip(np.cumsum(widths) - widths, np.cumsum(widths), strict=True)
    ]
    assert np.nansum(np.asarray(heat.z)[0] * weights) / np.sum(weights) == pytest.approx(np.nanmean(norm), rel=1e-4)
    assert list(figure.layout.yaxis.ticktext) == [f"block.{i}.conv" for i in range(4)]
    with pytest.raises(FigureError, match=r"no vector 'nose'.*head, tail"):
        figures.layer_heatmap(runs[0], "nose")
    with pytest.raises(FigureError, match=r"quantity='loss'.*cosine"):
        figures.layer_heatmap(runs[0], "tail", "loss")


def test_many_groups_become_a_heat_map(tmp_path):
    run = make_run(tmp_path / "classes", steps=30, groups=ClassGroups.per_class(12))
    for draw in (figures.cosines, figures.norms, figures.shares):
        figure = draw(run)
        assert [t.type for t in figure.data] == ["heatmap"]
        assert np.asarray(figure.data[0].z).shape == (12, 30)
    assert len(figures.conflicts(run, smooth=1).data) == 8
    assert "66 pairs" in figures.conflicts(run).layout.title.subtitle.text


def test_class_figures_of_a_probe(tmp_path, runs):
    groups = ClassGroups({"cat": [0], NASTY: [1], "emu": [2]}, 3)
    writer = RunWriter(tmp_path / "probed", runs[1].meta)
    gram = np.array([[4, 0, -4, 0], [0, 1, 1, 0], [-4, 1, 16, 0], [0, 0, 0, 0]], dtype=float)
    counts = np.array([5.0, 500, 50])
    names = ("cat", NASTY, "emu", "rest")
    writer.probe(7, 1, names, gram, None, counts, counts, counts, 0.1, groups.to_json(), label="after epoch 1")
    writer.close()
    (probe,) = Run(tmp_path / "probed").probes
    order, cosine = figures.frequency_order(probe)
    assert order == [NASTY, "emu", "cat"]
    np.testing.assert_allclose(cosine, [[1, 0.25, 0], [0.25, 1, -0.5], [0, -0.5, 1]])
    figure = figures.class_cosines(probe)
    np.testing.assert_allclose(figure.data[0].z, cosine)
    assert "step 7" in figure.layout.title.subtitle.text
    assert "<script" not in figure.to_json()
    shares = figures.class_shares(probe).data[0]
    # |g|^2 = 4 + 1 + 16 + 2 (-4 + 1) = 15; rows add up to 0, 2, 13
    np.testing.assert_allclose(shares.y, [0, 2 / 15, 13 / 15])
    np.testing.assert_allclose(shares.x, counts)


def test_components_have_norms(tmp_path):
    run = make_run(tmp_path / "dual", steps=20, components=("cls", "retention"))
    figure = figures.component_norms(run, smooth=1)
    np.testing.assert_allclose(traces(figure, name="retention")[0].y, run.norm("retention"), rtol=1e-6)


def test_names_cannot_be_markup(tmp_path):
    run = make_run(
        tmp_path / "run",
        steps=20,
        layers=1,
        groups=ClassGroups({NASTY: range(5), "b": range(5, 10)}, 10),
    )
    for draw in ONE_RUN.values():
        text = draw(run).to_json()
        assert "<script" not in text
        assert "%{nasty}" not in text
        assert "$a$" not in text


def test_a_window_spends_the_points_on_what_is_seen(tmp_path):
    run = make_run(tmp_path / "long", steps=3000)
    whole = figures.norms(run, points=100, smooth=1)
    assert all(len(t.x) <= 100 for t in whole.data)
    part = figures.norms(run, points=100, smooth=1, window=(1000, 1050))
    np.testing.assert_array_equal(part.data[0].x, np.arange(999, 1052))


def test_shots_have_their_own_colors(tmp_path):
    run = make_run(tmp_path / "shots", steps=5, groups=SHOTS, weights=(1.0, 0.5, 0.1))
    assert [t.line.color for t in traces(figures.cosines(run), mode="lines")] == ["#009E73", "#7D6B00", "#BE4C94"]


def test_an_unknown_theme():
    with pytest.raises(FigureError, match="theme='pink'"):
        figures.distortion_curves([], theme="pink")


def test_figures_are_quick_enough_to_be_live(tmp_path):
    run = make_run(tmp_path / "run", steps=500, groups=HEAD_TAIL)
    figures.figure1(run, run)
    start = time.perf_counter()
    figures.figure1(run, run)
    assert time.perf_counter() - start < 1.5  # 0.1 s on an idle core
