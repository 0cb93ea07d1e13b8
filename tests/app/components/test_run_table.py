"""The table of all runs, and the sentences below it."""

import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from tests.app.opened_pages import opened, text
from tests.made_runs import make_run


def test_the_table_is_made_once_for_each_search(monkeypatch, tmp_path):
    from gradlens_dashboard.components import run_table

    make_run(tmp_path / "a", steps=60)
    made = []
    frame = run_table._frame
    monkeypatch.setattr(run_table, "_frame", lambda *rows: made.append(1) or frame(*rows))
    at = opened(monkeypatch, tmp_path, "runs")
    at.run()
    assert len(made) == 1
    at.text_input(key="search").set_value("a").run()
    assert len(made) == 2
    make_run(tmp_path / "b", steps=60)
    at.text_input(key="search").set_value("").run()
    assert len(made) == 3
    assert list(at.dataframe[0].value["run"]) == ["a", "b"]


def test_columns_without_a_value_are_left_out(monkeypatch, tmp_path):
    make_run(tmp_path / "a", steps=60)
    columns = set(opened(monkeypatch, tmp_path, "runs").dataframe[0].value.columns)
    assert {"method", "data set", "accuracy", "last phase"}.isdisjoint(columns)
    assert {"run", "interval", "started"} <= columns


def test_long_tables_of_sentences_are_cut(monkeypatch, tmp_path):
    for name in ("a", "b", "c"):
        make_run(tmp_path / name, steps=5)
    monkeypatch.setattr("gradlens_dashboard.components.run_table.MOST_LISTED", 2)
    at = opened(monkeypatch, tmp_path, "runs")
    assert "… and 1 more; search for a name to see its lines." in text(at)
    assert text(at).count("measured steps can be used") == 2
