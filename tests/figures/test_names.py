"""One look a name: in every figure, whatever else it shows, in both themes; and no two names look alike."""

import json
import threading
from itertools import combinations

import pytest

from gradlens import figures
from gradlens.figures import _names
from gradlens.figures._names import style_of
from gradlens.groups import ClassGroups
from gradlens.reports.html import render
from gradlens.runlog import Run
from tests.dashboard_runs import evaluate, phases
from tests.figures.pair import SHOTS, traces
from tests.made_runs import make_run


@pytest.fixture(autouse=True)
def a_new_visit(monkeypatch):
    monkeypatch.setattr(_names, "_places", dict(_names.OWN))


def look(trace):
    return trace.line.color, trace.line.dash, trace.marker.symbol


def looks(figure):
    """Returns how each line of the legend looks."""
    return {t.name: look(t) for t in figure.data if t.showlegend}


@pytest.mark.parametrize("theme", [figures.LIGHT, figures.DARK])
def test_no_two_of_many_names_look_alike(theme):
    styles = [style_of("run", f"run {i}", theme) for i in range(500)]
    styles += [style_of("group", name, theme) for name in ("head", "tail", "many", "medium", "few")]
    assert len({(s.color, s.dash, s.mark) for s in styles}) == len(styles)
    bars = [style_of("method", f"method {i}", theme) for i in range(60)]
    assert len({(s.color, s.pattern) for s in bars}) == len(bars)


def test_forty_runs_in_one_figure_are_told_apart(tmp_path):
    runs = [make_run(tmp_path / f"run-{i}", steps=12, seed=i) for i in range(40)]
    for figure in (figures.overlay(runs, "share", "tail"), figures.distortion_curves(runs, smooth=3)):
        found = looks(figure)
        assert len(found) == len(set(found.values())) == 40
    levels = [t for t in figures.distortion_curves(runs, smooth=3).data if t.line.width == 1 and t.hoverinfo != "skip"]
    assert len(levels) == len({(t.line.color, t.line.dash) for t in levels}) == 40


def test_a_run_keeps_its_look_when_others_come_and_go(tmp_path):
    runs = {name: make_run(tmp_path / name, steps=60, seed=i) for i, name in enumerate("abcde")}
    for name in runs:
        phases(tmp_path / name, I=0, II=30)
        evaluate(tmp_path / name, (20, 59), few=(0.0, 20.0))
    runs = {name: Run(tmp_path / name) for name in runs}
    first = looks(figures.distortion_curves([runs["b"], runs["a"]]))
    for chosen in ("ab", "edcba", "ca", "b"):
        some = [runs[name] for name in chosen]
        for figure in (
            figures.distortion_curves(some),
            figures.overlay(some, "norm", "tail"),
            figures.evaluations(some),
        ):
            found = {name: (color, dash) for name, (color, dash, _) in looks(figure).items()}
            assert {n: found[n] for n in found if n in first} == {n: first[n][:2] for n in first if n in chosen}
    dark = looks(figures.distortion_curves([runs["c"]], theme="dark"))["c"][0]
    place = figures.DARK.colors.index(dark)
    assert looks(figures.distortion_curves([runs["c"]]))["c"][0] == figures.LIGHT.colors[place]


def test_a_group_has_one_look_in_all_figures_and_no_pair_or_run_has_it(tmp_path):
    make_run(tmp_path / "run", steps=60, layers=2, update=True, components=("cls", "intra"))
    evaluate(tmp_path / "run", (20, 59), few=(0.0, 20.0))
    run = Run(tmp_path / "run")
    drawn = [
        figures.conflicts(run),
        figures.distortion_curves([run]),
        figures.component_norms(run),
        figures.cosines(run),
        figures.norms(run),
        figures.losses(run),
        figures.accuracies(run),
        figures.update_cosines(run),
        figures.layer_curves(run, run.layers[0]),
        figures.figure1(run, run),
    ]
    found: dict[str, set] = {}
    for figure in drawn:
        for name, (color, dash, _) in looks(figure).items():
            found.setdefault(name, set()).add((color, dash))
    bars = {t.name: t.marker.color for t in figures.shares(run).data}
    assert all(len(styles) == 1 for styles in found.values()), found
    assert found["head"] == {(bars["head"], "solid")}
    assert found["tail"] == {(bars["tail"], "10px,3px")}
    names = ("head", "tail", "head and tail", "run", "cls", "intra", "many", "medium", "few")
    assert set(names) <= set(found)
    for a, b in combinations(names, 2):
        assert not found[a] & found[b], (a, b)


def test_groups_keep_their_look_in_runs_with_others(tmp_path):
    a = make_run(tmp_path / "a", steps=5, groups=ClassGroups({"cats": [0], "dogs": [1]}, 3))
    b = make_run(tmp_path / "b", steps=5, groups=ClassGroups({"birds": [2], "dogs": [0], "cats": [1]}, 3))
    one, other = looks(figures.cosines(a)), looks(figures.cosines(b))
    assert {name: other[name] for name in one} == one
    assert other["birds"] not in one.values()
    pair = looks(figures.conflicts(a))["cats and dogs"]
    assert looks(figures.conflicts(b))["dogs and cats"] == pair


def test_pairs_keep_their_look_while_others_conflict_more(tmp_path):
    groups = ClassGroups.per_class(12)
    early = looks(figures.conflicts(make_run(tmp_path / "early", steps=12, groups=groups, noise=(2.0,))))
    late = looks(figures.conflicts(make_run(tmp_path / "late", steps=12, groups=groups, noise=(2.0,), seed=5)))
    shared = set(early) & set(late)
    assert shared
    assert list(early) != list(late)
    assert all(early[name] == late[name] for name in shared)
    assert len({*early.values(), *late.values()}) == len({*early, *late})


def test_the_report_has_the_colours_of_the_figures(tmp_path):
    runs = [make_run(tmp_path / name, steps=60, seed=i) for i, name in enumerate(("one", "two"))]
    figure = looks(figures.distortion_curves(list(reversed(runs))))
    text = render(runs)
    block = text[text.index("const figures = [") + 17 : text.index("\n];", text.index("const figures = ["))]
    drawn = [figure for _, figure in json.loads(f"[{block}]")]
    distortion = next(one for one in drawn if "Distortion" in one["layout"]["title"]["text"])
    found = {t["name"]: (t["line"]["color"], t["line"]["dash"]) for t in distortion["data"] if t.get("showlegend")}
    assert found == {name: style[:2] for name, style in figure.items()}


def test_two_runs_of_one_name_are_told_apart(tmp_path):
    runs = [make_run(tmp_path / folder / "run", steps=12, seed=i) for i, folder in enumerate("ab")]
    lines = [t for t in figures.overlay(runs, "share", "tail").data if t.showlegend]
    assert look(lines[0]) != look(lines[1])
    assert lines[0].legendgroup != lines[1].legendgroup


def test_viewers_at_the_same_moment_give_no_style_twice():
    found = {}

    def draw(first):
        for i in range(first, first + 200):
            found[i] = style_of("run", f"{i}", figures.LIGHT)

    threads = [threading.Thread(target=draw, args=(first,)) for first in (0, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({(s.color, s.dash, s.mark) for s in found.values()}) == 400


def test_shots_have_their_own_colors(tmp_path):
    run = make_run(tmp_path / "shots", steps=5, groups=SHOTS, weights=(1.0, 0.5, 0.1))
    assert [t.line.color for t in traces(figures.cosines(run), mode="lines")] == ["#009E73", "#7D6B00", "#BE4C94"]


def test_styles_differ_without_color(runs):
    figure = figures.norms(runs[0])
    strong = [t for t in figure.data if t.showlegend]
    assert len({t.line.dash for t in strong}) == len(strong) == 3
    assert strong[0].line.color == "#0072B2"
    assert strong[1].line.color == "#D55E00"
