"""The page of Figure 1: which pair it chooses, and its judgement."""

import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from gradlens.analysis.compare import compare
from gradlens.runlog import Run
from tests.app.opened_pages import charts, opened, text
from tests.made_runs import make_run


def test_figure1_chooses_the_pair_and_judges_it(monkeypatch, folder):
    at = opened(monkeypatch, folder, "paper")
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


def test_runs_of_different_kinds_are_not_put_beside_each_other_unsaid(monkeypatch, tmp_path):
    for name, weights, dataset in (
        ("photos", (1.0, 0.01), "photos"),
        ("lt", (1.0, 0.15), "digits"),
        ("even", (1.0, 1.0), "digits-balanced"),
    ):
        make_run(tmp_path / name, steps=40, weights=weights, meta={"dataset": dataset})
    at = opened(monkeypatch, tmp_path, "paper")
    assert (at.selectbox(key="lt").value, at.selectbox(key="balanced").value) == ("lt", "even")
    assert "different kinds" not in text(at)
    titles_ = [a["text"] for a in charts(at)["figure1"]["layout"]["annotations"]]
    assert any("long-tailed" in title for title in titles_)
    at.selectbox(key="lt").set_value("photos").run()
    assert "they differ in data set (photos, digits-balanced)" in text(at).replace("\\", "")
    assert not any("long-tailed" in annotation["text"] for annotation in charts(at)["figure1"]["layout"]["annotations"])
    at = opened(monkeypatch, tmp_path, "compare")
    assert at.session_state["runs"] == ["even", "lt"]
    at = opened(monkeypatch, tmp_path, "compare", runs=["even", "lt", "photos"])
    assert "they differ in data set (digits-balanced, photos)" in text(at).replace("\\", "")
