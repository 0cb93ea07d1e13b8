"""Groups without data, labels that look wrong, and trainings that learn nothing."""

import math

import numpy as np
import pytest

from gradlens.diagnosis.labels import guessing, no_data, nothing_learnt, wrong_labels


def stuck_tail(at):
    return np.array([2.3 * math.exp(-4 * at) + 0.05, 2.3 * math.exp(-0.3 * at)])


def test_a_group_that_is_never_drawn(made):
    found = no_data(made(drawn=lambda _: (1.0, 0.0)))
    assert found.sentence == "None of the 25,600 samples in 400 measured steps is of the tail."
    assert no_data(made()) is None


def test_a_rare_group_may_be_missing_by_chance(made):
    rare = {"data": (10_000,) * 5 + (1,) * 5, "drawn": lambda _: (1.0, 0.0)}
    assert no_data(made(steps=60, **rare)) is None  # 3,840 draws of which 1 in 10,000 is of the tail


def test_classes_without_an_image(made):
    found = no_data(made(data=(500,) * 8 + (0, 500)))
    assert found.sentence == "1 of 10 classes has no training image: class 8."


def test_a_group_that_is_not_learnt_though_it_is_not_rare(made):
    found = wrong_labels(made(loss=stuck_tail))
    assert found.number == pytest.approx(np.mean([stuck_tail(at)[1] for at in np.linspace(0.5, 1, 200)]), abs=0.1)
    assert "The labels of the tail may be wrong" in found.sentence
    assert wrong_labels(made()) is None


def test_a_rare_group_is_no_matter_of_labels(made):
    assert wrong_labels(made(loss=stuck_tail, data=(500,) * 5 + (20,) * 5)) is None


def test_a_loss_of_guessing(made):
    run = made(loss=lambda _: np.full(2, 2.31))
    assert guessing(run) == pytest.approx(math.log(10))
    assert nothing_learnt(run).number == pytest.approx(2.31, abs=0.03)
    assert nothing_learnt(made()) is None
