"""The tables of the demo."""

import io

import pytest
from rich.console import Console

from gradlens.analysis.figure1_claims import Claim
from gradlens.commands.demo.table import DemoColumn, change_text, claims_summary, comparison
from gradlens.estimation.interval import Interval
from tests.made_runs import make_run


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (Interval(-0.2, -0.3, -0.1, 90, 4), "-0.200 [-0.300, -0.100]: it falls"),
        (Interval(0.2, 0.1, 0.3, 90, 4), "+0.200 [+0.100, +0.300]: it rises"),
        (Interval(-0.2, -0.5, 0.1, 90, 4), "-0.200 [-0.500, +0.100]: undecided: the interval holds 0"),
        (Interval.none(-0.2, 5), "-0.200: undecided: 5 measured steps can be used; an interval needs 53"),
    ],
)
def test_a_fall_is_claimed_only_where_the_interval_says_so(change, says):
    assert says in change_text("II", change)


def test_statements_with_several_measures_stand_once():
    def claim(statement, supported):
        return Claim("c", "mean", statement, "m", 1.0, 0.5, 1.5, 0.0, supported, 9, "")

    claims = [claim("one", True), claim("two", True), claim("two", False), claim("three", None)]
    statements, verdicts = (list(column.cells) for column in claims_summary(claims).columns)
    assert statements == ["(c) one", "(c) two", "(c) three"]
    assert verdicts == ["supported", "of 2 measures 1 supported, 1 contradicted", "undecided"]


def test_nothing_is_cut_at_80_columns(tmp_path):
    run = make_run(tmp_path / "run", steps=60)
    columns = [
        DemoColumn(title, None, run, slice(None))
        for title in ("balanced", "long-tailed", "dual-phase I", "dual-phase II")
    ]
    printed = io.StringIO()
    Console(file=printed, width=80).print(comparison(columns, {}))
    low, high = (f"{end:.3f}" for end in (columns[0].distortion().low, columns[0].distortion().high))
    assert "…" not in printed.getvalue()
    assert printed.getvalue().count(f"[{low},") == printed.getvalue().count(f"{high}]") == 4
