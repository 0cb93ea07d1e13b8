"""Which runs a list shows, and in which order."""

import pytest

from gradlens.analysis.run_query import ListedRun, QueryError, matching, settings_of, sorted_by, with_cards
from gradlens.runlog import RunError
from gradlens.runlog.format.card import Card
from tests.analysis.listed import listed

RUNS = [
    listed("a", accuracy=50.5, seed=0, settings=(("lr", "0.1"), ("momentum", "0.9"))),
    listed(
        "b", accuracy=9.0, seed=1, method="Dual-Phase", settings=(("lr", "0.05"),), card=Card("Best", ("Paper", "x"))
    ),
    listed("c", distortion=0.3, state="failed", card=Card(note="first try")),
]


@pytest.mark.parametrize(
    ("texts", "names"),
    [
        ([], "abc"),
        (["dual-phase"], "b"),
        (["digits"], "abc"),
        (["best"], "b"),
        (["paper"], "b"),
        (["failed"], "c"),
        (["nothing"], ""),
        (["accuracy>9"], "a"),
        (["accuracy>=9"], "ab"),
        (["accuracy<10", "seed=1"], "b"),
        (["accuracy!=9"], "ac"),
        (["seed=0 accuracy=50.5"], "a"),
        (["method=dual-phase"], "b"),
        (["method!=ce"], "b"),
        (["tag=paper"], "b"),
        (["tag=pap"], ""),
        (["tag!=paper"], "ac"),
        (["lr<0.07"], "b"),
        (["lr=.1"], "a"),
        (["momentum>0"], "a"),
        (["'note=first try'"], "c"),
        (["distortion>0.2"], "c"),
        (["title=best"], "b"),
    ],
)
def test_conditions(texts, names):
    assert "".join(run.name for run in matching(RUNS, texts)) == names


@pytest.mark.parametrize(
    ("field", "names"),
    [
        ("accuracy", "bac"),
        ("-accuracy", "abc"),
        ("lr", "bac"),
        ("-lr", "abc"),
        ("name", "abc"),
        ("-name", "cba"),
        ("method", "acb"),
        ("-distortion", "cab"),
    ],
)
def test_runs_without_a_value_come_last_and_equal_ones_keep_their_order(field, names):
    assert "".join(run.name for run in sorted_by(RUNS, field)) == names


def test_numbers_are_not_sorted_as_texts():
    runs = [listed(name, settings=(("width", name),)) for name in ("10", "9", "100", "wide")]
    assert [run.name for run in sorted_by(runs, "width")] == ["9", "10", "100", "wide"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("acuracy>5", "no run here has 'acuracy'; did you mean accuracy?"),
        ("momentm=1", "did you mean momentum?"),
        ("zzz=1", r"choose one of name, .*started or a hyper-parameter \(lr, momentum\)"),
        (
            "accuracy>high",
            "'accuracy>high' compares with 'high', which is no number; write accuracy>0.5 or accuracy=TEXT",
        ),
        ("'note=x", "has a quote without an end"),
    ],
)
def test_what_is_not_understood_is_said(text, said):
    with pytest.raises(QueryError, match=said):
        matching(RUNS, [text])


def test_sorting_by_an_unknown_field():
    with pytest.raises(QueryError, match="did you mean accuracy"):
        sorted_by(RUNS, "-accuraccy")


def test_settings_are_named_once():
    assert settings_of(RUNS) == ["lr", "momentum"]


def test_runs_that_cannot_be_read_stand_apart(tmp_path):
    error = RunError("damaged")
    assert with_cards([(tmp_path / "x", RUNS[0].row), (tmp_path / "y", error)]) == (
        [ListedRun(str(tmp_path / "x"), RUNS[0].row, Card())],
        {tmp_path / "y": error},
    )
