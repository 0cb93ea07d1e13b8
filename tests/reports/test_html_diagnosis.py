"""The diagnosis at the top of the report: each link leads to a figure that is there."""

import re

import pytest

pytest.importorskip("plotly", reason="the report needs: pip install -e '.[app]'")

from gradlens.reports.html import render
from gradlens.reports.html_diagnosis import diagnosis_html
from tests.made_runs import make_pair, make_run


def test_findings_come_first_and_link_to_their_figures(tmp_path):
    page = render(list(make_pair(tmp_path)))
    assert page.index("hardly follows the tail") < page.index('id="summary"')
    links = re.findall(r'<a href="#(run-\d-\w+)">', page)
    assert links
    for link in links:
        assert f'<div id="{link}"><div class="figure"' in page


def test_texts_of_users_are_escaped(tmp_path):
    run = make_run(tmp_path / "<b>", steps=80)
    assert "&lt;b&gt;" in diagnosis_html(run, "run-0", named=True)
    assert "<b><" not in diagnosis_html(run, "run-0", named=True)
