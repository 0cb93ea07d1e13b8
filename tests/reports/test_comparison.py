"""The tables of two runs compared."""

import re

import pytest

from gradlens.analysis.compare import compare
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
    assert "not corrected for their number" in " ".join(text.split())
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


def test_undecided_statements_say_why_and_which_they_are(tmp_path, runs):
    few = make_run(tmp_path / "few", steps=5, seed=1)
    lines = printed(*comparison_tables(runs[0], few)).splitlines()
    claims = compare(runs[0], few).claims
    between = [claim for claim in claims if "balanced" in claim.measure]
    reasons = {claim.note for claim in between}
    assert "few: 5 measured steps can be used; an interval needs 53" in reasons
    assert not reasons & {claim.note for claim in claims if claim not in between}
    for reason in reasons:
        (place,) = [line[:3] for line in lines if line.endswith(f" Undecided: {reason}.")]
        marked = [line for line in lines if re.match(rf" *undecided {re.escape(place)} ", line)]
        undecided = [claim for claim in claims if claim.note == reason]
        assert len(marked) == len(undecided) > 0
        assert all(any(claim.measure in line for line in marked) for claim in undecided)


def test_means_without_an_interval_say_why_and_which_they_are(tmp_path, runs):
    few = make_run(tmp_path / "few", steps=20)
    reason = "Without an interval: few, difference: 20 measured steps can be used; an interval needs 53."
    assert reason in " ".join(printed(difference_table(compare(runs[0], few), width=200), width=200).split())
    assert reason in render([few, runs[1]])
