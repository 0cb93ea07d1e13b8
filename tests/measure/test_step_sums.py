"""Sums over the backward passes of one step, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from gradlens.measure.step_sums import StepSums


class Step:
    """Two parameters of one number each, whose gradients a test sets."""

    def __init__(self) -> None:
        self.params = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
        self.sums = self.new()
        self.sums.before = [None, None]

    def new(self) -> StepSums:
        return StepSums(self.params, 2, vanishing=False)

    def gradients(self, *values: float | None) -> None:
        for param, value in zip(self.params, values, strict=True):
            param.grad = None if value is None else torch.tensor([value])


def numbers(vector: list[Tensor | None] | None) -> list[float | None]:
    assert vector is not None
    return [None if part is None else float(part) for part in vector]


def test_vectors_and_losses_of_passes_are_added_up():
    sums = Step().sums
    assert not sums.begun
    sums.add(3, [torch.tensor([1.0]), None])
    sums.add(3, [torch.tensor([2.0]), torch.tensor([5.0])])
    sums.add(3, None)
    assert numbers(sums.vectors[3]) == [3.0, 5.0]
    sums.note([torch.tensor(1.5), torch.tensor(2.0)])
    sums.note([torch.tensor(0.5)])
    assert sums.begun
    assert float(sums.loss) == 4.0


def test_the_total_is_what_came_to_the_gradients_since_the_step_began():
    step = Step()
    step.sums.before = [torch.tensor([10.0]), None]
    step.gradients(13.0, 4.0)
    assert numbers(step.sums.hold(copied=False)) == [3.0, 4.0]


@pytest.mark.parametrize("copied", [True, False])
def test_a_total_that_was_not_copied_is_valid_until_somebody_writes_to_it(copied):
    step = Step()
    step.gradients(3.0, 4.0)
    step.sums.hold(copied=copied)
    kept = step.params[0].grad
    step.params[0].grad = None
    assert step.sums.outlives([True, False])
    kept.mul_(2)
    assert step.sums.outlives([True, False]) is copied
    assert step.sums.outlives([False, False])  # the parameter is none of those whose gradient was zeroed


def test_gradients_that_were_zeroed_in_place_are_no_longer_there():
    step = Step()
    step.gradients(3.0, 4.0)
    step.sums.hold(copied=False)
    step.params[0].grad.zero_()
    assert not step.sums.outlives([True, False])


def test_returned_gradients_are_added_by_parameter():
    step = Step()
    first, second = step.params
    step.sums.take([(second, torch.tensor([2.0])), (torch.nn.Parameter(torch.zeros(1)), torch.tensor([9.0]))])
    step.sums.take([(first, torch.tensor([1.0])), (second, torch.tensor([3.0]))])
    assert numbers(step.sums.hold(copied=False)) == [1.0, 5.0]


def test_what_belongs_to_some_parameters_is_taken_out():
    step = Step()
    step.sums.add(0, [torch.tensor([1.0]), torch.tensor([2.0])])
    step.sums.check = [torch.tensor([7.0])]
    step.gradients(3.0, 4.0)
    step.sums.hold(copied=True)

    part = step.sums.part([True, False], [0])
    step.sums.forget([True, False], [0])

    assert numbers(part.vectors[0]) == [1.0, None]
    assert numbers(part.total) == [3.0, None]
    assert numbers(part.check) == [7.0]
    assert not part.begun
    assert numbers(step.sums.vectors[0]) == [None, 2.0]
    assert numbers(step.sums.check) == [None]


def test_earlier_passes_are_put_before_and_samples_of_both_count_once():
    step = Step()
    earlier, later = step.new(), step.sums
    earlier.count([2, 1], torch.tensor([[0.5, 0.25], [1.0, 0.0]]), again=False)
    earlier.add(0, [torch.tensor([1.0]), None])
    earlier.note([torch.tensor(3.0)])
    earlier.disagreement = torch.tensor(0.5)
    # The same samples with another loss, and one new sample of the second group.
    later.count([2, 1], torch.tensor([[0.5, 0.25], [1.0, 0.0]]), again=True)
    later.count([0, 1], torch.tensor([[0.0, 4.0], [0.0, 1.0]]), again=False)
    later.add(0, [torch.tensor([10.0]), None])
    later.note([torch.tensor(4.0)])
    later.disagreement = torch.tensor(0.25)

    later.put_before(earlier)

    np.testing.assert_array_equal(later.counts, [2, 2])
    assert later.scores.tolist() == [[0.5, 4.25], [1.0, 1.0]]
    assert numbers(later.vectors[0]) == [11.0, None]
    assert float(later.loss) == 7.0
    assert float(later.disagreement) == 0.5
