"""Labels that come again: by chance in a few random batches, and otherwise because the data are gone over again."""

from __future__ import annotations

import pytest
import torch

from gradlens.tracking.find.repeats import CHANCE, Repeats


def test_many_labels_that_come_again_in_another_step_are_no_chance():
    labels = torch.arange(100) % 10  # two random batches agree with a chance of 0.1 ** 100
    repeats = Repeats(labels, 0, 10)
    assert not repeats.again(labels.clone(), 0)  # another loss of the same step
    assert repeats.again(labels.clone(), 1)
    assert repeats.alone
    assert repeats.counts().tolist() == [10] * 10


def test_few_labels_must_come_again_several_times_in_a_row():
    labels = torch.tensor([0, 1, 0, 1])  # two random batches agree with a chance of 0.5 ** 4
    needed = next(times for times in range(1, 99) if (0.5**4) ** times < CHANCE)
    repeats = Repeats(labels, 0, 2)
    assert [repeats.again(labels, step) for step in range(1, needed + 1)] == [False] * (needed - 1) + [True]


@pytest.mark.parametrize(
    "other", [torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 0]), torch.tensor([0, 1, 0, 1], dtype=torch.int32)]
)
def test_other_labels_in_between_make_batches_of_one_data_set(other):
    labels = torch.tensor([0, 1, 0, 1])
    repeats = Repeats(labels, 0, 2)
    assert not repeats.again(other, 1)
    assert not repeats.alone
    assert not any(repeats.again(labels, step) for step in range(2, 40))  # each time by chance


def test_labels_of_one_class_say_nothing():
    labels = torch.zeros(100, dtype=torch.long)
    repeats = Repeats(labels, 0, 10)
    assert not any(repeats.again(labels, step) for step in range(1, 40))


def test_a_tensor_that_is_filled_anew_is_compared_with_what_it_held():
    labels = torch.arange(100) % 10
    repeats = Repeats(labels, 0, 10)
    labels.copy_(labels.flip(0))
    assert not repeats.again(labels, 1)
