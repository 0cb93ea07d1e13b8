"""The tables of two runs compared."""

import re

import numpy as np
import pytest

from gradlens.analysis.compare import compare
from gradlens.estimation.intervals import Interval, why_none
from gradlens.reports.comparison import comparison_tables, difference_table
from gradlens.reports.html import render
from gradlens.runlog import Run, RunMeta, RunWriter
from tests.made_runs import make_pair, make_run
from tests.reports.printed import printed


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return make_pair(tmp_path_factory.mktemp("runs"))


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
