"""Controls of the pages: what can be chosen, and what is chosen at first."""

import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from gradlens.groups import ClassGroups
from gradlens.runlog import Run, RunWriter
from tests.app.opened_pages import charts, opened, text
from tests.dashboard_runs import log
from tests.made_runs import START, make_run


def test_a_run_that_a_page_does_not_show_is_not_said_to_be_gone(monkeypatch, tmp_path):
    make_run(tmp_path / "two", steps=60)
    make_run(tmp_path / "each", steps=60, groups=ClassGroups.per_class(12), weights=(1.0,) * 12)
    page = text(opened(monkeypatch, tmp_path, "classes", run="two"))
    assert "The run two cannot be shown: this page shows another kind of runs." in page


def test_runs_with_something_to_show_are_chosen_at_first(monkeypatch, tmp_path):
    make_run(tmp_path / "lt", steps=60, weights=(1.0, 0.1), absent=0.3, started=START)
    make_run(tmp_path / "balanced", steps=60, started=START + 1)
    # The least balanced, and too short to judge.
    make_run(tmp_path / "short", steps=5, weights=(1.0, 0.1), absent=0.9, started=START + 2)
    make_run(tmp_path / "failed", steps=0, status="failed", started=START + 3)

    assert opened(monkeypatch, tmp_path, "run").selectbox(key="run").value == "short"
    assert "failed" not in opened(monkeypatch, tmp_path, "compare").session_state["runs"]
    at = opened(monkeypatch, tmp_path, "paper")
    assert (at.selectbox(key="lt").value, at.selectbox(key="balanced").value) == ("lt", "balanced")


def test_a_short_run_is_no_baseline_where_there_is_a_longer_one(monkeypatch, tmp_path):
    make_run(tmp_path / "dual", steps=60, started=START)
    log(tmp_path / "dual", kind="phase", step=0, name="I")
    log(tmp_path / "dual", kind="phase", step=40, name="II")
    make_run(tmp_path / "long", steps=60, started=START + 1)
    make_run(tmp_path / "short", steps=5, absent=0.9, started=START + 2)  # the least balanced
    assert opened(monkeypatch, tmp_path, "paper", part="dual-phase").selectbox(key="against").value == "long"


def test_norms_can_be_logarithmic_on_every_page_that_shows_them(monkeypatch, folder):
    shown = [
        ("run", {}, "norms", "yaxis"),
        ("run", {"run": "lt", "show": "layers"}, "curves", "yaxis2"),
        ("run", {"run": "dual", "show": "update"}, "terms", "yaxis"),
        ("paper", {}, "figure1", "yaxis3"),
        ("compare", {"quantity": "norm"}, "overlay", "yaxis"),
        ("paper", {"part": "dual-phase"}, "terms", "yaxis"),
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
