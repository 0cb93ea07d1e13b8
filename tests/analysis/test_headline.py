"""The headline of a run: its distortion, and the groups that it is about."""

import pytest

from gradlens.analysis.distortion import distortion, distortion_interval
from gradlens.analysis.kept_overview import overviews
from gradlens.analysis.run_query import with_cards
from gradlens.groups import ClassGroups
from gradlens.reports.html import render
from gradlens.reports.listing import runs_text
from tests.made_runs import make_run
from tests.reports.printed import shown

SHOTS = ClassGroups({"many": range(35), "medium": range(35, 70), "few": range(70, 100)}, 100)


@pytest.mark.parametrize("groups", [SHOTS, ClassGroups.per_class(12)], ids=["shots", "a group a class"])
def test_a_distortion_stands_with_its_interval_however_many_groups_there_are(tmp_path, groups):
    run = make_run(tmp_path / "run", groups=groups, weights=(1.0, 0.6, 0.2), noise=(0.3,))
    assert distortion_interval(run).low < distortion(run) < distortion_interval(run).high
    for width in (80, 120):
        assert f" {shown(run)} " in runs_text(*with_cards(overviews(tmp_path)), width=width)
    assert shown(run) in render([run])
