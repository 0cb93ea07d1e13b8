"""All rules together: the order, nothing twice, and every training with its finding."""

import pytest

from gradlens.diagnosis.advice import PAPERS
from gradlens.diagnosis.diagnose import RULES, SAYS, diagnose
from gradlens.diagnosis.finding import Severity
from gradlens.diagnosis.text import FIGURES
from gradlens.longtail.methods.registry import METHODS

HURT = {"drawn": lambda _: (0.9, 0.1), "pulls": ((1.0, 0.0), (-0.8, 0.5)), "data": (900,) * 5 + (100,) * 5}


def test_a_training_in_which_nothing_is_wrong(made):
    found = diagnose(made())
    assert [finding.rule for finding in found] == ["balance", "benefit"]
    assert {finding.severity for finding in found} == {Severity.FINE}


def test_problems_come_first_and_advice_once(made):
    found = diagnose(made(**HURT))
    assert [finding.rule for finding in found] == ["balance", "benefit", "conflict"]
    assert [finding.severity.value for finding in found] == ["problem", "problem", "note"]
    advice = [finding.advice for finding in found if finding.advice]
    assert len(advice) == len(set(advice))


def test_what_one_finding_says_no_other_says_again(made):
    assert [finding.rule for finding in diagnose(made(drawn=lambda _: (1.0, 0.0)))] == ["no data"]


@pytest.mark.parametrize("changes", [{}, HURT, {"clustered": 10}, {"processes": 2, "same_samples": True}])
def test_each_verdict_has_an_interval_and_a_figure(made, changes):
    for finding in diagnose(made(**changes)):
        assert finding.interval is not None
        assert finding.interval.measurable
        assert finding.interval.low <= finding.number <= finding.interval.high
        assert finding.figure in FIGURES
        assert finding.sentence.endswith(".")


def test_a_run_without_a_step_has_no_finding(made):
    assert diagnose(made(steps=0)) == []


def test_advice_names_methods_that_there_are():
    assert set(PAPERS) <= set(METHODS)
    assert {name for others in SAYS.values() for name in others} <= {
        "balance", "noise", "drawn shares", "benefit", "nothing learnt", "optimizer", "wrong labels",
    }  # fmt: skip
    assert len(RULES) == len(set(RULES))
