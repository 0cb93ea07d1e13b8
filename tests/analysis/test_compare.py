"""Comparing two runs, and the tables that print runs."""

import numpy as np
import pytest

from gradlens.analysis.compare import compare
from gradlens.analysis.distortion import distortion
from gradlens.analysis.quantities import filled_share
from gradlens.analysis.two_runs import PairError
from gradlens.estimation.intervals import mean_interval
from gradlens.groups import ClassGroups
from gradlens.reports.comparison import comparison_tables
from gradlens.reports.summary import summary_table
from tests.made_runs import make_pair, make_run
from tests.reports.printed import printed


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return make_pair(tmp_path_factory.mktemp("runs"))


def test_differences_are_those_of_the_means(runs):
    long_tailed, balanced = runs
    found = compare(long_tailed, balanced)
    assert (found.a, found.b, found.long_tailed, found.groups) == ("lt", "balanced", "lt", ("head", "tail"))
    rows = {(row.group, row.quantity): row for row in found.differences}
    for group in ("head", "tail"):
        row = rows[group, "cosine with the overall gradient"]
        means = [np.nanmean(run.cosine(group)) for run in runs]
        assert row.a.value == pytest.approx(means[0])
        assert row.b.value == pytest.approx(means[1])
        assert row.difference.value == pytest.approx(means[0] - means[1])
        assert row.difference.low <= row.difference.value <= row.difference.high
        assert row.clear
    shares = [rows[group, "share of the update"].a.value for group in ("head", "tail")]
    assert sum(shares) == pytest.approx(1, abs=1e-2)  # an absent group counts as 0, the rest is small
    assert np.isnan(long_tailed.share("tail")).any()
    assert np.isfinite(filled_share(long_tailed, "tail")).all()
    assert rows["", "distortion"].a.value == pytest.approx(distortion(long_tailed))
    assert rows["tail", "share of the samples"].difference.value < -0.1


def test_intervals_end_where_their_quantities_do(tmp_path):
    run = make_run(tmp_path / "short", steps=60, absent=0.97, seed=3)  # of few steps: wide intervals
    assert mean_interval(run.counts[:, 1] / run.counts.sum(1)).low < 0
    rows = {row.group: row.a for row in compare(run, run).differences if row.quantity == "share of the samples"}
    assert rows["tail"].low == 0
    assert rows["tail"].value < rows["tail"].high < rows["head"].low
    assert rows["head"].high <= 1


def test_the_order_of_the_runs_does_not_matter_for_the_claims(runs):
    assert compare(*runs).claims == compare(*reversed(runs)).claims
    assert compare(*reversed(runs)).long_tailed == "lt"


def test_a_run_does_not_differ_from_itself(runs):
    found = compare(runs[0], runs[0])
    assert all(row.difference.value == 0 and not row.clear for row in found.differences)


def test_one_common_group_has_differences_but_no_claims(tmp_path, runs):
    other = make_run(tmp_path / "other", steps=30, groups=ClassGroups({"head": range(70), "few": range(70, 90)}, 100))
    found = compare(runs[0], other)
    assert found.groups == ("head",)
    assert found.claims == ()
    assert "two groups" in found.note
    assert {row.group for row in found.differences} == {"head", ""}
    assert "No claims" in printed(*comparison_tables(runs[0], other))


def test_no_common_group_is_an_error_that_lists_them(tmp_path, runs):
    other = make_run(tmp_path / "shots", steps=3, groups=ClassGroups({"many": range(50), "few": range(50, 100)}, 100))
    with pytest.raises(PairError, match=r"lt has .*head: 0-69.*shots has .*many: 0-49.*--groups-from"):
        comparison_tables(runs[0], other)


def test_runs_without_steps(tmp_path):
    run = make_run(tmp_path / "empty", steps=0)
    assert compare(run, run).differences == ()
    printed(*comparison_tables(run, run), summary_table(run))
