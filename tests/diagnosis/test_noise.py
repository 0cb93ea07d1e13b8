"""Noise that hides whether a group is left out, and how many more steps show it."""

from gradlens.diagnosis.balance import balance
from gradlens.diagnosis.noise import noise

CLOSE = {"drawn": lambda _: (0.72, 0.28), "pulls": ((1.0, 0.0), (0.0, 1.0)), "noise": 6.0, "batch": 16}


def test_an_interval_around_the_limit_asks_for_more_steps(made):
    run = made(steps=100, **CLOSE)  # the tail's share is near a quarter, half of its part of the classes
    assert balance(run) is None
    found = noise(run)
    assert found.interval.low <= 0.25 <= found.interval.high
    assert found.sentence.startswith("Noise hides whether the tail has its part")
    assert "times as many steps" in found.advice


def test_too_few_steps_are_said_to_be_too_few(made):
    found = noise(made(steps=20))
    assert found.sentence.startswith("20 measured steps are too few")
    assert found.advice.startswith("Measure about 3 times as many steps")


def test_a_clear_answer_is_not_hidden(made):
    assert noise(made()) is None
    assert noise(made(drawn=lambda _: (0.96, 0.04))) is None
