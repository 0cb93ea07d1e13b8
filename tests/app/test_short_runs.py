"""Pages on runs that are too short to say much."""

import html

import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from gradlens.analysis.compare import compare
from gradlens.runlog import Run
from tests.app.pages import opened, text
from tests.dashboard_runs import log
from tests.made_runs import START, make_run


def test_runs_with_something_to_show_are_chosen_at_first(monkeypatch, tmp_path):
    make_run(tmp_path / "lt", steps=60, weights=(1.0, 0.1), absent=0.3, started=START)
    make_run(tmp_path / "balanced", steps=60, started=START + 1)
    # The least balanced, and too short to judge.
    make_run(tmp_path / "short", steps=5, weights=(1.0, 0.1), absent=0.9, started=START + 2)
    make_run(tmp_path / "failed", steps=0, status="failed", started=START + 3)

    assert opened(monkeypatch, tmp_path, "run").selectbox(key="run").value == "short"
    assert "failed" not in opened(monkeypatch, tmp_path, "compare").multiselect(key="runs").value
    at = opened(monkeypatch, tmp_path, "figure1")
    assert (at.selectbox(key="lt").value, at.selectbox(key="balanced").value) == ("lt", "balanced")


def test_a_short_run_is_no_baseline_where_there_is_a_longer_one(monkeypatch, tmp_path):
    make_run(tmp_path / "dual", steps=60, started=START)
    log(tmp_path / "dual", kind="phase", step=0, name="I")
    log(tmp_path / "dual", kind="phase", step=40, name="II")
    make_run(tmp_path / "long", steps=60, started=START + 1)
    make_run(tmp_path / "short", steps=5, absent=0.9, started=START + 2)  # the least balanced
    assert opened(monkeypatch, tmp_path, "dual_phase").selectbox(key="against").value == "long"


def test_why_statements_are_undecided_is_said_once(monkeypatch, tmp_path):
    make_run(tmp_path / "lt", steps=5, weights=(1.0, 0.1))
    make_run(tmp_path / "balanced", steps=5, seed=1)
    page = text(opened(monkeypatch, tmp_path, "figure1", lt="lt", balanced="balanced"))
    claims = compare(Run(tmp_path / "lt"), Run(tmp_path / "balanced")).claims
    notes = {claim.note for claim in claims}
    assert page.count("? undecided</span><sup>") == len(claims)
    assert page.count("an interval needs 40") == len(notes) < len(claims) / 2


def test_rows_about_one_statement_stand_together(monkeypatch, tmp_path):
    make_run(tmp_path / "lt", steps=60, weights=(1.0, 0.1))
    make_run(tmp_path / "balanced", steps=60, seed=1)
    page = text(opened(monkeypatch, tmp_path, "figure1", lt="lt", balanced="balanced"))
    claims = compare(Run(tmp_path / "lt"), Run(tmp_path / "balanced")).claims
    statements = {claim.statement for claim in claims}
    assert len(statements) < len(claims)
    for statement in statements:
        assert page.count(f'<th scope="row">{html.escape(statement)}</th>') == 1
