"""The table of a run's evaluations: last and best epoch, on which split it was chosen, and the same table in report and page."""

import pytest

from gradlens.analysis.evaluations import evaluation_table
from gradlens.reports.html import render
from gradlens.runlog import Run
from tests.dashboard_runs import log
from tests.made_runs import make_run


@pytest.fixture
def path(tmp_path):
    make_run(tmp_path / "run", steps=30)
    return tmp_path / "run"


def evaluate(path, step, epoch, split="test", **numbers):
    log(path, kind="evaluation", step=step, epoch=epoch, split=split, **numbers)


def cells(found):
    return {row[0]: row[1:] for row in found.rows}


def test_a_run_without_evaluations_has_no_table(path):
    log(path, kind="evaluation", step=3, epoch=0, split="test", seconds=3.0)
    assert evaluation_table(Run(path)) is None
    assert "Evaluations" not in render([Run(path)])


def test_last_and_best_epoch_of_a_test_set_that_decides(path):
    evaluate(path, 9, 0, overall=40.0, many=70.0, few=5.0, balanced=38.0, ece=3.25, tail_as_head=60.0, head_as_tail=1.0)
    evaluate(
        path, 19, 1, overall=55.0, many=80.0, few=15.0, balanced=50.0, ece=8.0, tail_as_head=50.0, head_as_tail=2.0
    )
    evaluate(
        path, 29, 2, overall=54.0, many=82.0, few=12.0, balanced=49.0, ece=9.96, tail_as_head=55.0, head_as_tail=1.5
    )
    found = evaluation_table(Run(path))
    assert found.head == ("", "test, last epoch (3)", "test, best epoch (2)")
    assert cells(found) == {
        "accuracy of all images": ("54.0", "55.0"),
        "balanced accuracy (mean over the classes)": ("49.0", "50.0"),
        "accuracy, many-shot classes": ("82.0", "80.0"),
        "accuracy, few-shot classes": ("12.0", "15.0"),
        "tail taken for head": ("55.0", "50.0"),
        "head taken for tail": ("1.5", "2.0"),
        "calibration error (ECE)": ("10.0", "8.0"),
    }
    assert found.note.endswith(
        "The best epoch so far is chosen on test itself, so its numbers are too high for a test."
    )
    log(path, kind="result", step=29, best_epoch=2, chosen_on="test", overall=54.0)
    run = Run(path)
    assert "The best epoch is chosen on test itself" in evaluation_table(run).note
    page = render([run])
    assert "<h3>Evaluations</h3>" in page
    assert "test, best epoch (2)" in page
    assert "chosen on test itself" in page


def test_a_validation_split_decides_and_the_test_set_stands_beside_it(path):
    evaluate(path, 9, 0, "validation", overall=60.0)
    evaluate(path, 19, 1, "validation", overall=50.0)
    others = {"test": {"overall": 47.0, "ece": 5.0}}
    log(
        path,
        kind="result",
        step=29,
        best_epoch=1,
        chosen_on="validation",
        other_splits=others,
        best_other_splits={"test": {"overall": 58.0}},
    )
    found = evaluation_table(Run(path))
    assert found.head == (
        "", "validation, last epoch (2)", "validation, best epoch (1)", "test, last epoch", "test, that best epoch",
    )  # fmt: skip
    assert cells(found) == {
        "accuracy of all images": ("50.0", "60.0", "47.0", "58.0"), "calibration error (ECE)": ("–", "–", "5.0", "–"),
    }  # fmt: skip
    assert found.note.endswith("chosen on validation; the other splits had no part in it.")


def test_a_script_that_logs_two_splits_as_fractions(path):
    for epoch, (val, test) in enumerate([(0.5, 0.4), (0.7, 0.6), (0.6, 0.65)]):
        evaluate(path, 9 * epoch, epoch, "val", overall=val, head=val)
        evaluate(path, 9 * epoch, epoch, "test", overall=test)
    found = evaluation_table(Run(path))
    assert found.head[1:] == ("val, last epoch (3)", "val, best epoch (2)", "test, last epoch", "test, that best epoch")
    assert cells(found) == {
        "accuracy of all images": ("60.0", "70.0", "65.0", "60.0"), "accuracy, head": ("60.0", "70.0", "–", "–"),
    }  # fmt: skip


def test_without_an_overall_accuracy_there_is_no_best_epoch(path):
    evaluate(path, 9, 0, head=40.0)
    found = evaluation_table(Run(path))
    assert found.head == ("", "test, last epoch (1)")
    assert "best" not in found.note
