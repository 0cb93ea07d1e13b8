"""Comparing two runs, and the tables that print runs."""

import io
import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest
from rich.console import Console

from gradlens.analysis.compare import compare
from gradlens.analysis.distortion import distortion
from gradlens.analysis.facts import facts, overhead_text, span
from gradlens.analysis.headline import two_groups_text
from gradlens.analysis.overview import overview
from gradlens.analysis.quantities import Quantity, filled_share
from gradlens.analysis.two_runs import PairError
from gradlens.estimation.intervals import Interval, difference, mean_interval, why_none
from gradlens.groups import ClassGroups
from gradlens.metrics.gram import Measurement
from gradlens.reports.comparison import comparison_tables, difference_table
from gradlens.reports.html import render
from gradlens.reports.listing import runs_table
from gradlens.reports.summary import summary_table
from gradlens.reports.text import difference_cells, difference_text, headline_text, interval_text, number, percent
from gradlens.runlog import Run, RunMeta, RunWriter, list_runs
from tests.dashboard_runs import phases
from tests.made_runs import START, make_run


def printed(*renderables, width=150) -> str:
    file = io.StringIO()
    for renderable in renderables:
        Console(file=file, width=width).print(renderable)
    return file.getvalue()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    long_tailed = make_run(folder / "lt", absent=0.2, weights=(1.0, 0.1), meta={"timings": {"overhead": 0.048}})
    return long_tailed, make_run(folder / "balanced", weights=(1.0, 1.0), seed=1)


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
    run = make_run(tmp_path / "short", steps=40, absent=0.97, seed=5)  # of few steps: wide intervals
    assert mean_interval(run.counts[:, 1] / run.counts.sum(1)).low < 0
    rows = {row.group: row.a for row in compare(run, run).differences if row.quantity == "share of the samples"}
    assert rows["tail"].low == 0
    assert rows["tail"].value < rows["tail"].high < rows["head"].low
    assert rows["head"].high <= 1


def test_intervals_of_differences_end_where_those_of_their_quantities_do():
    accuracy = Quantity("tail", "accuracy", np.array([0.0, 1.0]), True, (0.0, 1.0))
    assert accuracy.range_of_differences == (-1.0, 1.0)
    # Of 40 values of which one differs, symmetric ends reach beyond what accuracies can differ by.
    ends = difference([1.0] * 40, [0.0] * 10 + [0.3] + [0.0] * 29)
    assert ends.within(-0.97, 0.97).high == 0.97 < ends.high
    assert Quantity("", "norm", np.zeros(1), range=(0.0, np.inf)).range_of_differences == (-np.inf, np.inf)


def test_rounding_leaves_no_negative_zero():
    assert (percent(-0.0001), percent(-0.001), percent(0.908)) == ("0.0%", "-0.1%", "90.8%")


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


def test_mixed_phases_are_named(tmp_path, runs):
    groups = runs[0].groups.to_json()
    writer = RunWriter(tmp_path / "two", RunMeta(groups=groups))
    for step, name in ((0, "I"), (5, "II")):
        writer.event("phase", step, name=name)
    writer.close()
    two = Run(tmp_path / "two")
    assert "Phases are mixed (two: I, II)" in printed(*comparison_tables(runs[0], two))
    assert "Phases are mixed (two: I, II)" in render([runs[0], two])
    assert "Phases are mixed" not in printed(*comparison_tables(*runs))


def test_runs_without_steps(tmp_path):
    run = make_run(tmp_path / "empty", steps=0)
    assert compare(run, run).differences == ()
    printed(*comparison_tables(run, run), summary_table(run))


def test_the_comparison_is_printed(runs):
    text = printed(*comparison_tables(*runs))
    assert "contradicted: the whole interval" in text
    assert "without a correction for their number" in text
    assert re.search(r"0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]", text)
    assert "cosine between head and tail" in text
    assert re.search(r"training accuracy +\d.* +[+-]?\d+\.\d points", text)


def test_what_judges_one_statement_stands_below_it(runs):
    lines = printed(*comparison_tables(*runs)).splitlines()
    first = lines.index("(c) in the long-tailed run the norm of tail fluctuates more than that of head")
    for line, per in zip(lines[first + 1 :], ("contribution", "mean gradient"), strict=False):
        assert re.search(
            rf"(supported|contradicted|undecided) +\S+ \[.*\] +relative fluctuation, tail / head; norm of its {per}",
            line,
        )
    statements = [line for line in lines if line.startswith("(")]
    assert len(statements) == len(set(statements))


def test_undecided_statements_say_why(tmp_path):
    run = make_run(tmp_path / "short", steps=5)
    text = " ".join(printed(*comparison_tables(run, run)).split())
    assert "undecided" in text
    assert "Undecided: 5 measured steps have all that it takes; an interval needs 40" in text


def test_means_without_an_interval_say_why(tmp_path, runs):
    few = make_run(tmp_path / "few", steps=20)
    reason = "Without an interval: 20 measured steps have all that it takes; an interval needs 40"
    assert reason in " ".join(printed(difference_table(compare(few, few), width=200), width=200).split())
    assert reason in render([few, runs[1]])
    found = [Interval.none(1.0, 0, why) for why in "aabcd"]
    assert why_none([Interval(0.9, 0.7, 1.1, 50, 5), *found]) == "Without an interval: a; b; c; ...."
    assert why_none([Interval(0.9, 0.7, 1.1, 50, 5), Interval.none(np.nan, 0)]) == ""


def test_differences_of_percentages_are_percentage_points():
    difference = Interval(-0.401, -0.415, -0.386, 50, 2)
    assert difference_text(difference, (), fraction=True) == "-40.1 points [-41.5, -38.6]"
    assert difference_text(Interval(0.119, 0.051, 0.196, 50, 2), (), fraction=True) == "+11.9 points [5.1, 19.6]"
    assert interval_text(difference, fraction=True) == "-40.1% [-41.5%, -38.6%]"
    assert difference_text(difference, (), fraction=False) == "-0.401 [-0.415, -0.386]"


def test_the_summary_of_a_run(runs):
    text = printed(summary_table(runs[0]))
    assert f"{np.nanmean(runs[0].cosine('tail')):.3f}" in text
    assert f"{runs[0].counts.sum(0)[1] / runs[0].counts.sum():.1%}" in text
    assert f"distortion {distortion(runs[0]):.3f}" in text
    assert "mean norm: size of the group's own mean gradient, norm x batch / its samples" in text
    assert "4.8% of the training time" in " ".join(text.split())
    assert "10 ms a measured step" in " ".join(printed(summary_table(runs[1])).split())


def test_the_summary_counts_all_steps_and_shows_what_is_in_no_group(tmp_path):
    run = make_run(tmp_path / "short", steps=3, every=10, meta={"extra": {"steps": 272}})
    text = " ".join(printed(summary_table(run)).split())
    assert "measured 3 of 272 steps, too few for means; --every 1 measures more" in text
    assert "rest (no group)" not in text
    names = ("head", "tail", "rest")
    gram = np.diag([4.0, 1.0, 5.0])
    writer = RunWriter(
        tmp_path / "rest",
        RunMeta(groups=ClassGroups({"head": range(70), "tail": range(70, 100)}, 100).to_json(), names=names),
    )
    for step in range(12):
        writer.append(
            Measurement(
                step=step, time=0.0, epoch=0, names=names, gram=gram, layers=None, counts=np.ones(2), loss=np.ones(2),
                correct=np.ones(2), residual=0.0, total_loss=1.0, seconds=0.1,
            )
        )  # fmt: skip
    writer.close()
    text = " ".join(printed(summary_table(Run(tmp_path / "rest"))).split())
    # <rest, g> / <g, g> = 5 / 10; <rest, g> / (|rest| |g|) = 5 / sqrt(5 * 10)
    assert "rest (no group) 50.0% 0.707 2.236" in text
    assert "rest: samples without a label of a group (ignored, or with no label at all), and what goes around" in text
    assert "a loss on other outputs counts for its groups once gradlens.observe(outputs, labels) names each" in text
    assert "measured 12 of 12 steps" in text
    assert "too few" not in text


def test_tiny_norms_are_written_as_they_are(tmp_path):
    runs = [
        make_run(tmp_path / name, weights=(size, size / 2), noise=(size / 9, size / 9))
        for name, size in (("a", 1e-15), ("b", 3e-15))
    ]
    means = [np.sqrt(run.gram()[:, 1, 1]).mean() for run in runs]  # of the tail's contribution
    found = compare(*runs)
    (row,) = [r for r in found.differences if (r.group, r.quantity) == ("tail", "norm of the contribution")]
    low_high = row.difference.low, row.difference.high
    expected = (f"{means[0]:.2e}", f"{means[1]:.2e}", "{:.2e} [{:.2e}, {:.2e}]".format(means[0] - means[1], *low_high))
    cells = difference_cells(row)
    assert [text.split(" [")[0] for text in cells[:2]] == list(expected[:2])
    assert cells[2] == expected[2]
    # The rounding of a difference is none.
    same = replace(row, difference=replace(row.difference, value=means[0] * 1e-14, low=0.0, high=means[0] * 1e-13))
    assert difference_cells(same)[2] == "+0.000 [0.000, 0.000]"


def test_the_list_of_runs(tmp_path):
    make_run(tmp_path / "old", steps=4, every=10, started=START, meta={"method": "ce", "dataset": "[red]digits"})
    make_run(tmp_path / "live", steps=4, status=None)
    make_run(tmp_path / "failed", steps=0, status="failed", started=START + 100)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    text = printed(runs_table(list_runs(tmp_path), now=START + 7200), width=240)
    lines = [line for line in text.splitlines() if line.startswith(f" {tmp_path}") and "run.json" not in line]
    assert [next(n for n in ("live", "failed", "old", "broken") if f"/{n}" in line) for line in lines] == [
        "live", "failed", "old", "broken",
    ]  # fmt: skip
    assert "[red]digits" in lines[2]
    assert "2.0 h" in lines[2]
    assert " 31 " in lines[2]
    assert "every 10 steps" in lines[2]
    assert "running" in lines[0]
    assert "unreadable" in lines[3]
    assert "damaged" in text


def test_the_list_says_what_the_last_phase_came_to(tmp_path):
    run = make_run(tmp_path / "dual", steps=40, weights=(1.0, 0.3), noise=(0.3, 0.9))
    phases(tmp_path / "dual", I=0, II=30)
    text = printed(runs_table(list_runs(tmp_path)), width=200)
    assert f" {distortion(run):.3f} (II: {distortion(run, 30):.3f}) " in text
    assert "of the whole run, and of the last phase" in text
    assert "head (70), tail (30)" in text
    # the report and the dashboard's table say the same
    assert f"{distortion(run):.3f} (II: {distortion(run, 30):.3f})" in render([Run(tmp_path / "dual")])
    assert (
        headline_text(overview(Run(tmp_path / "dual")).headline)
        == f"{distortion(run):.3f} (II: {distortion(run, 30):.3f})"
    )
    assert "~" not in text
    phases(tmp_path / "dual", III=40)  # nothing of it was measured yet
    assert printed(runs_table(list_runs(tmp_path)), width=200) == text


def test_the_list_counts_what_came_before_the_first_name_as_a_phase(tmp_path):
    run = make_run(tmp_path / "named-late", steps=40, weights=(1.0, 0.3), noise=(0.3, 0.9))
    phases(tmp_path / "named-late", II=35)
    text = printed(runs_table(list_runs(tmp_path)), width=200)
    assert f" {distortion(run):.3f} (~II: {distortion(run, 35):.3f}) " in text, "of five steps"


def test_numbers_of_different_groups_are_not_ranked(tmp_path):
    make_run(tmp_path / "one", steps=20)
    assert "not to be ranked" not in printed(runs_table(list_runs(tmp_path)))
    make_run(tmp_path / "two", steps=20, groups=ClassGroups({"many": range(50), "few": range(50, 100)}, 100))
    for width in (80, 200):
        text = printed(runs_table(list_runs(tmp_path), width=width), width=width)
        assert "the groups differ" in text
        assert "many (50)" in text
    assert "not to be ranked" in render([Run(tmp_path / name) for name in ("one", "two")])


def test_with_two_groups_the_last_ones_share_stands_beside_its_samples_and_classes(runs):
    share = filled_share(runs[0], "tail").mean()
    counts = runs[0].counts.sum(0)
    says = " ".join(printed(summary_table(runs[0])).split())
    beside = f"of the update, {counts[1] / counts.sum():.1%} of the samples, 30.0% of the classes"
    assert re.search(rf"tail: {share:.1%} \[\S+%, \S+%\] {beside}: {100 * (share - 0.3):.1f} points", says)
    listed = " ".join(printed(runs_table([(runs[0].path, runs[0])], width=400), width=400).split())
    assert two_groups_text(runs[0]) in listed
    assert two_groups_text(runs[0]) in unescape(render([runs[0]]))


def test_tables_fit_a_terminal_of_80_columns(tmp_path, runs):
    make_run(
        tmp_path / "a-run-with-a-rather-long-name", steps=4, every=10, started=START, meta={"method": "dual-phase"}
    )
    make_run(tmp_path / "failed", steps=0, status="failed", started=START + 100)
    listing = printed(runs_table(list_runs(tmp_path), now=START + 7200, width=80), width=80)
    claims = printed(*comparison_tables(*runs, width=80), width=80)
    for text in (listing, claims):
        assert all(len(line) <= 80 for line in text.splitlines())
        assert "…" not in text
    assert re.search(r"finished +dual-phase +4 +\S+ +2\.0 h", listing)
    assert "contradicted" in claims
    assert re.search(r"\[\S+, \S+\] +\[\S+, \S+\] +\[\S+, \S+\] \* *$", claims, re.MULTILINE), "an interval on one line"


def test_an_empty_folder_says_how_to_make_a_run(tmp_path):
    assert "gradlens demo" in printed(runs_table(list_runs(tmp_path)))


def test_facts(tmp_path):
    meta = {
        "class_counts": (50.0, 5.0), "method": "ce", "engine": "split", "engine_reason": "no module mixes samples",
        "hyperparameters": {"lr": 0.1},
    }  # fmt: skip
    run = make_run(tmp_path / "run", steps=5, every=10, meta=meta)
    found = dict(facts(run))
    assert found["training images"] == "55 in 2 classes, 50 to 5 a class"
    assert found["engine"] == "split (no module mixes samples)"
    assert found["measured"] == "5 of 41 steps"
    assert found["command"] == "train.py --seed 0"
    assert found["hyper-parameter lr"] == "0.1"
    assert found["largest residual"].startswith("1.0e-07")
    assert "torch" in found["versions"]
    assert "data set" not in found
    assert overhead_text(make_run(tmp_path / "empty", steps=0)) is None


def test_numbers_as_text():
    assert [span(s) for s in (0.0123, 3.45, 720, 3 * 3600, 5 * 86400)] == ["12 ms", "3.5 s", "12 min", "3.0 h", "5 d"]
    assert [number(x) for x in (0.12345, 12.345, 0, 1e-5, 1e7, None, np.nan, -1e-15)] == [
        "0.123", "12.3", "0.000", "1.00e-05", "1.00e+07", "-", "-", "0.000",
    ]  # fmt: skip
    assert percent(0.0481) == "4.8%"
