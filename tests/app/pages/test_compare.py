"""The page that compares runs."""

import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from gradlens.analysis.compare import compare
from gradlens.analysis.headline import two_groups_text
from gradlens.runlog import Run
from gradlens_dashboard.components.page import plain
from tests.app.opened_pages import charts, opened, text


def test_runs_without_a_common_group_are_explained(monkeypatch, folder):
    at = opened(monkeypatch, folder, "paper", lt="classes", balanced="balanced")
    assert "No group is the same in both runs" in text(at)
    assert not charts(at)
    at = opened(monkeypatch, folder, "compare", runs=["classes", "lt"])
    assert set(charts(at)) == {"distortion"}
    assert "No group is the same in all of these runs" in text(at)
    assert not at.header  # nothing below it that says so again
    at = opened(monkeypatch, folder, "compare", runs=["classes", "lt", "balanced"])
    assert "No group is the same in classes and lt" in text(at)


def test_compare_draws_every_run_and_the_difference(monkeypatch, folder):
    at = opened(monkeypatch, folder, "compare", runs=["lt", "balanced", "dual"])
    assert {t["name"] for t in charts(at)["overlay"]["data"]} == {"lt", "balanced", "dual"}
    assert at.selectbox(key="first").value == "lt"
    for name in ("lt", "balanced"):
        assert f"{name}: {plain(two_groups_text(Run(folder / name)))}" in text(at)
    assert plain(two_groups_text(Run(folder / "lt"))) in text(opened(monkeypatch, folder, "runs", pick=["lt"]))
    rows = compare(Run(folder / "lt"), Run(folder / "balanced")).differences
    assert text(at).count('data-label="difference"') == len(rows)
    monkeypatch.setattr("gradlens_dashboard.components.run_list.list_runs_beside", lambda *_, **__: [])
    at.run()
    assert "Select one run or more" in text(at)
