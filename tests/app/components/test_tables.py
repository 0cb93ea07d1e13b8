"""Tables of statements: what is said once, and which rows stand together."""

import html

import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from gradlens.analysis.compare import compare
from gradlens.runlog import Run
from tests.app.opened_pages import opened, text
from tests.made_runs import make_run


def test_why_statements_are_undecided_is_said_once(monkeypatch, tmp_path):
    make_run(tmp_path / "lt", steps=5, weights=(1.0, 0.1))
    make_run(tmp_path / "balanced", steps=5, seed=1)
    page = text(opened(monkeypatch, tmp_path, "paper", lt="lt", balanced="balanced"))
    claims = compare(Run(tmp_path / "lt"), Run(tmp_path / "balanced")).claims
    notes = {claim.note for claim in claims}
    assert page.count("? undecided</span><sup>") == len(claims)
    assert page.count("an interval needs 53") == len(notes) < len(claims) / 2


def test_rows_about_one_statement_stand_together(monkeypatch, tmp_path):
    make_run(tmp_path / "lt", steps=60, weights=(1.0, 0.1))
    make_run(tmp_path / "balanced", steps=60, seed=1)
    page = text(opened(monkeypatch, tmp_path, "paper", lt="lt", balanced="balanced"))
    claims = compare(Run(tmp_path / "lt"), Run(tmp_path / "balanced")).claims
    statements = {claim.statement for claim in claims}
    assert len(statements) < len(claims)
    for statement in statements:
        assert page.count(f'<th scope="row">{html.escape(statement)}</th>') == 1
