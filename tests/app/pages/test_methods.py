import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from tests.app.opened_pages import opened


def test_the_table_of_methods_is_shown(monkeypatch, tmp_path):
    at = opened(monkeypatch, tmp_path, "methods")
    assert at.title[0].value == "Methods"
    table = at.markdown[-1].value
    assert table.startswith("| method | paper |")
    (row,) = [line for line in table.splitlines() if line.startswith("| dual-phase |")]
    assert "| 44.8 |" in row
