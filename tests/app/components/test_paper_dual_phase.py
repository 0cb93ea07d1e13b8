"""The page of two phases."""

import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from gradlens.runlog import Run
from tests.app.opened_pages import charts, opened, text


def test_dual_phase_tells_the_story(monkeypatch, folder):
    at = opened(monkeypatch, folder, "paper", part="dual-phase")
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
