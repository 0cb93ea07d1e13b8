"""The layers of a run: the heat map, and the curves of the layer that was picked."""

import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from tests.app.opened_pages import charts, opened, text, titles


def test_layers_and_a_click_on_one(monkeypatch, folder):
    at = opened(monkeypatch, folder, "run", run="lt", show="layers", layer="block.1.conv")
    assert set(charts(at)) == {"heat", "curves"}
    assert titles(at)["curves"] == "<b>Layer block.1.conv</b>"
    at = opened(monkeypatch, folder, "run", run="balanced", show="layers")
    assert "--layers" in text(at)
