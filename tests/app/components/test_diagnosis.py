"""The diagnosis above the figures of a run."""

import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from tests.app.opened_pages import opened, text
from tests.made_runs import make_pair


def test_the_page_of_a_run_begins_with_what_is_wrong(monkeypatch, tmp_path):
    make_pair(tmp_path)
    told = text(opened(monkeypatch, tmp_path, "run", run="lt")).replace("\\", "")
    assert "The training hardly follows the tail: it makes up" in told
    assert "Figure: share of the update" in told
