"""Every page on real runs of every kind, run by Streamlit's own test driver."""

import json

import numpy as np
import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from gradlens.analysis.compare import compare
from gradlens.analysis.headline import two_groups_text
from gradlens.analysis.per_class import class_measurements
from gradlens.figures import ClassPair, conflicting_pairs
from gradlens.metrics.measurement import Measurement
from gradlens.runlog import Run, RunWriter
from gradlens_dashboard.components.page import plain
from tests.app.pages import EVERY, charts, decoded, opened, text, titles
from tests.dashboard_runs import NASTY, log, make_folder
from tests.made_runs import make_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("runs"))


@pytest.mark.parametrize("page", EVERY)
def test_every_page_explains_itself_and_names_its_controls(monkeypatch, folder, page):
    at = opened(monkeypatch, folder, page)
    assert len(at.title) == 1
    assert 100 < len(at.markdown[0].value) < 330
    for kind in ("selectbox", "multiselect", "text_input", "select_slider", "toggle"):
        assert all(widget.label for widget in at.get(kind))
    assert charts(at) or page == "runs"


def test_runs_lists_live_ones_first_and_says_why_others_are_broken(monkeypatch, tmp_path):
    make_folder(tmp_path)
    make_run(tmp_path / "training", steps=30)
    writer = RunWriter(tmp_path / "training", Run(tmp_path / "training").meta, resume=True)
    at = opened(monkeypatch, tmp_path, "runs")
    writer.close()
    table = at.dataframe[0].value.set_index("run")
    assert next(iter(table.index)) == "training"
    assert "live" in table.loc["training", "status"]
    assert table.loc["failed", "status"] == "failed"
    assert list(table.index[1:4]) == ["dual", "lt", "balanced"]  # the latest first
    assert table.loc["dual", "measured"] == 200
    assert table.loc["dual", "accuracy"] == pytest.approx((160 + 55) / 3)
    from gradlens import distortion

    assert table.loc["lt", "distortion"] == pytest.approx(distortion(Run(tmp_path / "lt")))
    assert len(table.loc["lt", "course"]) == 32
    page = text(at)
    assert "<td>failed</td><td>failed</td><td>ValueError: loss is NaN</td>" in page
    assert "damaged" in page
    assert "reads versions up to 1" in page
    assert "&lt;b&gt;" in page or "<b>" not in page
    assert "notes" not in table.index


def test_search_finds_by_name_method_and_data(monkeypatch, folder):
    assert list(opened(monkeypatch, folder, "runs", search="dual-phase DIGITS").dataframe[0].value["run"]) == ["dual"]
    at = opened(monkeypatch, folder, "runs", search="nothing like it")
    assert not at.dataframe
    assert "No run matches" in text(at)


def test_figure1_chooses_the_pair_and_judges_it(monkeypatch, folder):
    at = opened(monkeypatch, folder, "figure1")
    assert (at.selectbox(key="lt").value, at.selectbox(key="balanced").value) == ("lt", "balanced")
    figure = charts(at)["figure1"]
    assert len({trace.get("xaxis", "x") for trace in figure["data"]}) == 4
    claims = compare(Run(folder / "lt"), Run(folder / "balanced")).claims
    page = text(at)
    assert sum(page.count(f"{word}</span>") for word in ("supported", "contradicted", "undecided")) == len(claims)
    assert page.count("✓ supported") == sum(c.supported is True for c in claims)
    at.button_group(key="norm").set_value("mean").run()
    assert not at.exception
    assert figure != charts(at)["figure1"]


def test_runs_without_a_common_group_are_explained(monkeypatch, folder):
    at = opened(monkeypatch, folder, "figure1", lt="classes", balanced="balanced")
    assert "No group is the same in both runs" in text(at)
    assert not charts(at)
    at = opened(monkeypatch, folder, "compare", runs=["classes", "lt"])
    assert set(charts(at)) == {"distortion"}
    assert "No group is the same in all of these runs" in text(at)
    assert not at.header  # nothing below it that says so again
    at = opened(monkeypatch, folder, "compare", runs=["classes", "lt", "balanced"])
    assert "No group is the same in classes and lt" in text(at)


def test_runs_of_different_kinds_are_not_put_beside_each_other_unsaid(monkeypatch, tmp_path):
    for name, weights, dataset in (
        ("photos", (1.0, 0.01), "photos"),
        ("lt", (1.0, 0.15), "digits"),
        ("even", (1.0, 1.0), "digits-balanced"),
    ):
        make_run(tmp_path / name, steps=40, weights=weights, meta={"dataset": dataset})
    at = opened(monkeypatch, tmp_path, "figure1")
    assert (at.selectbox(key="lt").value, at.selectbox(key="balanced").value) == ("lt", "even")
    assert "different kinds" not in text(at)
    titles_ = [a["text"] for a in charts(at)["figure1"]["layout"]["annotations"]]
    assert any("long-tailed" in title for title in titles_)
    at.selectbox(key="lt").set_value("photos").run()
    assert "they differ in data set (photos, digits-balanced)" in text(at).replace("\\", "")
    assert not any("long-tailed" in annotation["text"] for annotation in charts(at)["figure1"]["layout"]["annotations"])
    at = opened(monkeypatch, tmp_path, "compare")
    assert at.multiselect(key="runs").value == ["even", "lt"]
    at.multiselect(key="runs").set_value(["even", "lt", "photos"]).run()
    assert "they differ in data set (digits-balanced, photos)" in text(at).replace("\\", "")


def test_run_shows_what_was_measured(monkeypatch, folder):
    at = opened(monkeypatch, folder, "run", run="lt")
    run = Run(folder / "lt")
    assert set(charts(at)) == {"cosines", "shares", "norms", "conflicts"}
    at.selectbox(key="smooth").set_value("1").run()
    tail = next(t for t in charts(at)["cosines"]["data"] if t["name"] == "tail")
    np.testing.assert_allclose(decoded(tail["y"]), run.cosine("tail"), rtol=1e-6)
    at.button_group(key="show").set_value("facts").run()
    assert "train.py --seed 0" in text(at)
    assert "masked" in text(at)


def test_what_happened_in_a_run_is_listed_and_marked(monkeypatch, tmp_path):
    make_run(tmp_path / "run", steps=40)
    log(tmp_path / "run", kind="mark", step=10, text="warm-up over")
    log(tmp_path / "run", kind="lr-drop", step=20, factor=0.1)
    log(tmp_path / "run", kind="engine", step=25, engine="masked", reason="two terms share one backward")
    log(tmp_path / "run", kind="nonfinite", step=30, message="the loss is nan")
    log(tmp_path / "run", kind="epoch", step=30, loss=1.0)
    for step in range(13):
        log(tmp_path / "run", kind="left-out", step=step, message=f"no data in step {step}")
    at = opened(monkeypatch, tmp_path, "run")
    figure = charts(at)["cosines"]
    assert [s["x0"] for s in figure["layout"]["shapes"] if s["line"].get("dash") == "dot"] == [10, 20, 25, 30]
    texts = [a["text"].strip() for a in figure["layout"]["annotations"]]
    assert texts == ["warm-up over", "lr-drop: factor 0.1", "engine: masked", "the loss is nan"]
    at = opened(monkeypatch, tmp_path, "run", show="facts")
    page = text(at)
    assert "<td>lr-drop: factor 0.1</td>" in page
    assert "<td>engine: masked, reason two terms share one backward</td>" in page
    assert page.count("no data in step") == 13
    assert "epoch: " not in page


def test_layers_and_a_click_on_one(monkeypatch, folder):
    at = opened(monkeypatch, folder, "run", run="lt", show="layers", layer="block.1.conv")
    assert set(charts(at)) == {"heat", "curves"}
    assert titles(at)["curves"] == "<b>Layer block.1.conv</b>"
    at = opened(monkeypatch, folder, "run", run="balanced", show="layers")
    assert "--layers" in text(at)


@pytest.mark.parametrize(("part", "keys"), [("fit", {"losses", "accuracies"}), ("update", {"update", "terms"})])
def test_other_parts_of_a_run(monkeypatch, folder, part, keys):
    assert set(charts(opened(monkeypatch, folder, "run", run="dual", show=part))) == keys


def test_dual_phase_tells_the_story(monkeypatch, folder):
    at = opened(monkeypatch, folder, "dual_phase")
    assert at.selectbox(key="run").value == "dual"
    assert at.selectbox(key="against").value == "lt"
    assert set(charts(at)) == {"distortion", "shares", "against", "accuracy", "terms"}
    page = text(at)
    assert "55.0%" in page  # few-shot accuracy at the end
    assert "30.5%" in page
    assert "dual, phase II" in page
    for start, stop in ((0, 120), (120, None)):  # the distortion of either phase stands in the table
        from gradlens.analysis import distortion as run_distortion

        assert f"{run_distortion.distortion(Run(folder / 'dual'), start, stop):.3f} [" in page


def test_compare_draws_every_run_and_the_difference(monkeypatch, folder):
    at = opened(monkeypatch, folder, "compare", runs=["lt", "balanced", "dual"])
    assert {t["name"] for t in charts(at)["overlay"]["data"]} == {"lt", "balanced", "dual"}
    assert at.selectbox(key="first").value == "lt"
    for name in ("lt", "balanced"):
        assert f"{name}: {plain(two_groups_text(Run(folder / name)))}" in text(at)
    assert plain(two_groups_text(Run(folder / "lt"))) in text(opened(monkeypatch, folder, "runs", pick=["lt"]))
    rows = compare(Run(folder / "lt"), Run(folder / "balanced")).differences
    assert text(at).count('data-label="difference"') == len(rows)
    at.multiselect(key="runs").set_value([]).run()
    assert "Choose one run or more" in text(at)


def test_classes_of_a_run_with_a_group_a_class(monkeypatch, folder):
    at = opened(monkeypatch, folder, "classes")
    assert at.selectbox(key="run").value == "classes"
    measured = class_measurements(Run(folder / "classes"))
    slider = at.select_slider(key="at")
    assert len(slider.options) == len(measured) == 13  # of 16 steps each, but for the last
    assert slider.options[-2:] == ["step 191", "latest"]
    for figure in charts(at).values():  # no probe was made: these are means of what was trained on
        assert figure["layout"]["title"]["subtitle"]["text"].startswith(
            "mean of the training batches of steps 192 to 199 ·"
        )
    assert conflicting_pairs(measured[-1])[0].cosine > 0
    assert "No two classes pull against each other" in text(at)
    pairs = [ClassPair("a", "b", (5, 5), -0.25), ClassPair("a", "c", (5, 5), 0.5)]
    monkeypatch.setattr("gradlens.figures.conflicting_pairs", lambda probe: pairs)
    page = text(opened(monkeypatch, folder, "classes"))
    assert "<td>a (5)</td><td>b (5)</td>" in page
    assert "c (5)" not in page  # which pull together
    heat = next(t for t in charts(at)["cosines"]["data"] if t["type"] == "heatmap")
    np.testing.assert_allclose(np.diag(decoded(heat["z"]).reshape(6, 6)), 1, rtol=1e-5)


def test_torn_and_failed_runs_are_shown_with_what_is_wrong(monkeypatch, folder):
    at = opened(monkeypatch, folder, "run", run="torn")
    assert 0 < len(Run(folder / "torn")) < 100
    assert charts(at)
    at = opened(monkeypatch, folder, "run", run="failed")
    assert "loss is NaN" in at.warning[0].value


@pytest.mark.parametrize("page", EVERY)
def test_names_cannot_be_markup(monkeypatch, folder, page):
    name = f"deep/{NASTY}"
    key = {"compare": "runs", "figure1": "lt"}.get(page, "run")
    at = opened(monkeypatch, folder, page, **{key: name})
    for element in at.get("html"):
        assert "<img" not in element.proto.body
    for element in (*at.markdown, *at.warning, *at.info):
        assert "<img" not in element.value.replace("\\<img", "")
        assert "$x$" not in element.value
    assert "<img" not in json.dumps([figure["layout"].get("title") for figure in charts(at).values()])


def test_steps_whose_gradient_is_not_finite_are_counted(monkeypatch, tmp_path):
    make_run(tmp_path / "fine", steps=12, seed=1)
    run = make_run(tmp_path / "broken", steps=12, status=None)
    with RunWriter(tmp_path / "broken", run.meta, resume=True) as writer:
        gram = np.full((3, 3), np.inf)
        nothing = np.zeros(2)
        writer.append(
            Measurement(12, 0.0, None, run.names, gram, None, nothing + 1, nothing, nothing, 0.0, float("nan"), 0.0)
        )
    said = "1 of 13 measured steps has a gradient that is not finite"
    for page, query in (("runs", {}), ("run", {"run": "broken"}), ("compare", {"runs": ["broken", "fine"]})):
        assert said in text(opened(monkeypatch, tmp_path, page, **query)).replace("\\", ""), page
    assert said not in text(opened(monkeypatch, tmp_path, "run", run="fine"))


def test_norms_can_be_logarithmic_on_every_page_that_shows_them(monkeypatch, folder):
    shown = [
        ("run", {}, "norms", "yaxis"),
        ("run", {"run": "lt", "show": "layers"}, "curves", "yaxis2"),
        ("run", {"run": "dual", "show": "update"}, "terms", "yaxis"),
        ("figure1", {}, "figure1", "yaxis3"),
        ("compare", {"quantity": "norm"}, "overlay", "yaxis"),
        ("dual_phase", {}, "terms", "yaxis"),
    ]
    for page, query, key, axis in shown:
        at = opened(monkeypatch, folder, page, **query)
        assert "type" not in charts(at)[key]["layout"][axis], (page, key)
        at.button_group(key="scale").set_value("log").run()
        assert not at.exception
        assert charts(at)[key]["layout"][axis]["type"] == "log", (page, key)
    at = opened(monkeypatch, folder, "compare", quantity="share")
    assert "scale" not in [widget.key for widget in at.get("button_group")]


def test_part_of_training_is_offered_when_all_runs_have_ended(monkeypatch, tmp_path):
    for name in ("done", "training"):
        make_run(tmp_path / name, steps=30)
    axis = opened(monkeypatch, tmp_path, "compare", x="fraction").button_group(key="x")
    assert (axis.value, axis.help) == ("fraction", "")
    writer = RunWriter(tmp_path / "training", Run(tmp_path / "training").meta, resume=True)
    axis = opened(monkeypatch, tmp_path, "compare", x="fraction").button_group(key="x")
    writer.close()
    assert axis.value == "step"
    assert "Part of training" not in axis.options
    assert "it is not known how long training will train" in axis.help
