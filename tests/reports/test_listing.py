"""The table of all runs."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from gradlens.analysis.distortion import distortion
from gradlens.analysis.headline import two_groups_text
from gradlens.analysis.kept_overview import overviews
from gradlens.analysis.run_query import with_cards
from gradlens.groups import ClassGroups
from gradlens.reports.comparison import comparison_tables
from gradlens.reports.html import render
from gradlens.reports.listing import newest_first, runs_text
from gradlens.runlog import Run
from gradlens.runlog.format.card import FILE as CARD
from gradlens.runlog.format.card import Card, write_card
from tests.dashboard_runs import phases
from tests.made_runs import START, make_pair, make_run
from tests.reports.printed import printed, shown


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return make_pair(tmp_path_factory.mktemp("runs"))


def test_the_list_of_runs(tmp_path):
    make_run(tmp_path / "old", steps=4, every=10, started=START, meta={"method": "ce", "dataset": "[red]digits"})
    make_run(tmp_path / "live", steps=4, status=None)
    make_run(tmp_path / "failed", steps=0, status="failed", started=START + 100)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    runs, broken = with_cards(overviews(tmp_path))
    text = runs_text(newest_first(runs), broken, now=START + 7200, width=240)
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


def test_the_list_counts_what_came_before_the_first_name_as_a_phase(tmp_path):
    run = make_run(tmp_path / "named-late", steps=40, weights=(1.0, 0.3), noise=(0.3, 0.9))
    phases(tmp_path / "named-late", II=35)
    text = runs_text(*with_cards(overviews(tmp_path)), width=200)
    assert f" {distortion(run):.3f} " in text
    assert f"phase II: ~{distortion(run, 35):.3f}" in text, "of five steps"


def test_the_list_says_why_a_distortion_has_no_interval(tmp_path):
    make_run(tmp_path / "short", steps=20)
    text = " ".join(runs_text(*with_cards(overviews(tmp_path)), width=80).split())
    why = "without an interval: distortion: 20 measured steps can be used; an interval needs 53"
    assert why in text
    make_run(tmp_path / "short" / ".." / "long")
    assert " ".join(runs_text(*with_cards(overviews(tmp_path)), width=80).split()).count(why) == 1


def test_a_run_takes_few_lines_of_80_columns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("a-study-of-methods", "seed-0")
    for name, started in (("dual-phase", START), ("long-tailed", START + 1)):
        make_run(folder / name, started=started, meta={"method": name, "dataset": "digits"})
    phases(folder / "dual-phase", I=0, II=100)
    text = runs_text(*with_cards(overviews(".")), now=START + 7200, width=80)
    lines = text.splitlines()
    assert all(len(line) <= 80 for line in lines)
    words = " ".join(text.split())
    rows = [i for i, line in enumerate(lines) if line.startswith("  finished")] + [lines.index("", 1)]
    below = [[line for line in lines[at + 1 : stop] if line.startswith("   ")] for at, stop in pairwise(rows)]
    assert [len(found) for found in below] == [3, 2], "with phases one line more"
    for name in ("dual-phase", "long-tailed"):
        run = Run(folder / name)
        for said in (two_groups_text(run), shown(run), "groups: head (70), tail (30)"):
            assert words.count(said) >= 1
    assert f"phase II: {shown(Run(folder / 'dual-phase'), 100)}" in words


def test_a_path_stands_in_the_row_where_it_has_room(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "lt")
    lines = runs_text(*with_cards(overviews(".")), width=80).splitlines()
    assert any(re.match(r" lt +finished +200 +0", line) for line in lines)


def test_texts_longer_than_a_terminal_lose_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    method = "a-method-" * 12
    make_run(tmp_path / "run", meta={"method": method})
    text = runs_text(*with_cards(overviews(".")), width=80)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert text.count("a-me") + text.count("thod-") >= 12
    assert "…" not in text


def test_numbers_of_different_groups_are_not_ranked(tmp_path):
    make_run(tmp_path / "one", steps=20)
    assert "not to be ranked" not in runs_text(*with_cards(overviews(tmp_path)))
    make_run(tmp_path / "two", steps=20, groups=ClassGroups({"many": range(50), "few": range(50, 100)}, 100))
    for width in (80, 200):
        text = runs_text(*with_cards(overviews(tmp_path)), width=width)
        assert "the groups differ" in text
        assert "many (50)" in text
    assert "not to be ranked" in render([Run(tmp_path / name) for name in ("one", "two")])


def test_a_name_is_never_broken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "a name that is longer than a narrow terminal, and has spaces " + "x" * 60
    make_run(tmp_path / name, steps=20)
    for width in (20, 40, 80, 120, 240):
        assert sum(name in line for line in runs_text(*with_cards(overviews(".")), width=width).splitlines()) == 1


def test_what_people_wrote_about_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        make_run(tmp_path / name, steps=20)
    write_card("a", Card(title="The long one", tags=("paper", "seed study"), note="first\ntry", place="archived"))
    (tmp_path / "b" / CARD).write_text("{")
    text = runs_text(*with_cards(overviews(".")), width=160, hidden=2)
    assert " The long one (a) " in text
    assert "archived; tags: paper, seed study; note: first try; groups:" in text
    assert "gradlens-card.json is damaged" in text
    assert "2 runs are archived or deleted and not shown; --all shows them" in text
    assert runs_text([], hidden=1) == "1 run is archived or deleted and not shown; --all shows it\n"


def test_tables_fit_a_terminal_of_80_columns(tmp_path, runs, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_run(
        tmp_path / "a-run-with-a-rather-long-name", steps=4, every=10, started=START, meta={"method": "dual-phase"}
    )
    make_run(tmp_path / "failed", steps=0, status="failed", started=START + 100)
    listing = runs_text(*with_cards(overviews(".")), now=START + 7200, width=80)
    claims = printed(*comparison_tables(*runs, width=80), width=80)
    for text in (listing, claims):
        assert all(len(line) <= 80 for line in text.splitlines())
        assert "…" not in text
    assert re.search(r"finished +dual-phase +4 +\S+ +2\.0 h", listing)
    assert "contradicted" in claims
    assert re.search(r"\[\S+, \S+\] +\[\S+, \S+\] +\[\S+, \S+\] \* *$", claims, re.MULTILINE), "an interval on one line"


def test_an_empty_folder_says_how_to_make_a_run(tmp_path):
    assert "gradlens demo" in runs_text(*with_cards(overviews(tmp_path)))
