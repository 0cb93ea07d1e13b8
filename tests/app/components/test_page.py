"""Pages where there is nothing to show yet."""

from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from tests.app.opened_pages import EVERY, charts, opened, text


@pytest.mark.parametrize("page", EVERY)
def test_a_page_without_runs_says_how_to_make_one(monkeypatch, tmp_path, page):
    at = opened(monkeypatch, tmp_path, page)
    assert f"`gradlens demo --out {tmp_path}`" in text(at)  # elsewhere they would not appear
    assert f"`gradlens track --out {tmp_path}/NAME SCRIPT`" in text(at)
    assert not charts(at)
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    assert "`gradlens track SCRIPT`" in text(opened(monkeypatch, "runs", page))
