"""Two groups that pull against each other: where, and since when."""

import pytest

from gradlens.diagnosis.conflict import conflict

# cos = -0.8 / sqrt(0.8 ** 2 + 0.5 ** 2) without noise
AGAINST = ((1.0, 0.0), (-0.8, 0.5))


def test_it_has_the_cosine_and_the_layers(made):
    run = made(pulls=AGAINST)
    found = conflict(run)
    assert found.number == pytest.approx(-0.848, abs=0.03)
    assert found.interval.high < 0
    assert found.sentence.startswith("The head and the tail pull against each other from its start, most of all in ")
    for layer in run.layers:
        assert f"{layer} (-0.8" in found.sentence


def test_it_says_since_when(made):
    run = made(conflict_since=0.5)
    assert run.conflict("head", "tail").mean() > -0.3
    found = conflict(run)
    assert "since step 200" in found.sentence
    assert found.number == pytest.approx(run.conflict("head", "tail")[200:].mean(), abs=0.02)


def test_groups_that_pull_together_are_no_finding(made):
    assert conflict(made()) is None
    assert conflict(made(pulls=((1.0, 0.0), (0.0, 1.0)))) is None
