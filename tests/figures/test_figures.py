"""Figures of made-up runs: what is drawn, with which numbers, and what happens at the borders."""

import json
import time

import pytest

from gradlens import figures
from gradlens.groups import ClassGroups
from tests.figures.pair import NASTY
from tests.made_runs import HEAD_TAIL, make_run

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


def test_figures_are_quick_enough_to_be_live(tmp_path):
    run = make_run(tmp_path / "run", steps=500, groups=HEAD_TAIL)
    figures.figure1(run, run)
    start = time.perf_counter()
    figures.figure1(run, run)
    assert time.perf_counter() - start < 1.5  # 0.1 s on an idle core
