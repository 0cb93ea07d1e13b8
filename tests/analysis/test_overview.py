"""The row of a run in a list of runs."""

from gradlens.analysis.kept_overview import overviews
from gradlens.analysis.overview import overview
from gradlens.analysis.run_query import with_cards
from gradlens.reports.html import render
from gradlens.reports.listing import runs_text
from gradlens.reports.text import headline_text
from gradlens.runlog import Run
from tests.dashboard_runs import phases
from tests.made_runs import make_run
from tests.reports.printed import shown


def test_the_list_says_what_the_last_phase_came_to(tmp_path):
    run = make_run(tmp_path / "dual", steps=200, weights=(1.0, 0.3), noise=(0.3, 0.9))
    phases(tmp_path / "dual", I=0, II=120)
    text = runs_text(*with_cards(overviews(tmp_path)), width=200)
    assert f" {shown(run)} " in text
    assert f"phase II: {shown(run, 120)}" in text
    assert "head (70), tail (30)" in text
    # the report and the dashboard's table say the same
    both = f"{shown(run)} (II: {shown(run, 120)})"
    assert both in render([Run(tmp_path / "dual")])
    assert headline_text(overview(Run(tmp_path / "dual")).headline) == both
    assert "~" not in text
    phases(tmp_path / "dual", III=200)  # nothing of it was measured yet
    assert runs_text(*with_cards(overviews(tmp_path)), width=200) == text
