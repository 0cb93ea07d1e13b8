"""Processes that train on the same samples, or divide the loss once more."""

import pytest

from gradlens.diagnosis.processes import part_of_loss, same_samples, size_of


def test_the_same_samples_in_each_process(made):
    run = made(processes=4, same_samples=True)
    assert size_of(run) == 4
    found = same_samples(run)
    assert found.number == 1
    assert "4 processes train on the same samples" in found.sentence
    assert same_samples(made(processes=2)) is None
    assert same_samples(made()) is None


def test_a_loss_divided_by_the_processes(made):
    found = part_of_loss(made(processes=2, loss_part=0.5))
    assert found.number == pytest.approx(0.5)
    assert part_of_loss(made(processes=2)) is None
    assert part_of_loss(made(processes=2, loss_part=0.7)) is None  # another loss
    assert part_of_loss(made(loss_part=0.5)) is None  # one process
