"""Arithmetic of gradient vectors with gaps, against numbers worked by hand."""

from __future__ import annotations

import math

import pytest
import torch

from gradlens.autograd.arithmetic import added, less, relative_difference, summed, zeroed


def test_a_sum_has_gaps_only_where_both_have():
    one, two = torch.tensor([1.0]), torch.tensor([2.0])
    sparse = torch.sparse_coo_tensor([[1]], [4.0], (2,), check_invariants=True)
    found = added([one, None, two, None, sparse], [two, two, None, None, torch.tensor([1.0, 1.0])])
    assert [None if part is None else part.tolist() for part in found] == [[3.0], [2.0], [2.0], None, [1.0, 5.0]]


def test_what_was_there_before_is_taken_off():
    after, before = torch.tensor([5.0, 1.0]), torch.tensor([2.0, 2.0])
    found = less([after, after, None], [before, None, None], copied=False)
    assert found[0].tolist() == [3.0, -1.0]
    assert found[1].data_ptr() == after.data_ptr()
    assert found[2] is None
    (copy,) = less([after], [None], copied=True)
    assert copy.data_ptr() != after.data_ptr()
    assert torch.equal(copy, after)


def test_losses_are_added_up():
    assert float(summed([torch.tensor(1.5)])) == 1.5
    assert float(summed([torch.tensor(1.5), torch.tensor(2.0), torch.tensor(-4.0)])) == -0.5


def test_the_relative_difference_of_vectors():
    # |(3, 4) - (3, 0)| / |(3, 0)| = 4 / 3, whatever the parts are, and a gap counts as zero.
    assert float(relative_difference([torch.tensor([3.0, 4.0])], [torch.tensor([3.0, 0.0])])) == pytest.approx(4 / 3)
    three, four = torch.tensor([3.0]), torch.tensor([4.0])
    assert float(relative_difference([three, four, None], [three, None, None])) == pytest.approx(4 / 3)
    assert float(relative_difference([None], [three])) == 1.0


def test_what_cannot_be_compared():
    zero, one, nan = torch.zeros(2), torch.ones(2), torch.tensor([1.0, math.nan])
    assert float(relative_difference([], [])) == 0.0
    assert float(relative_difference([None], [None])) == 0.0
    assert float(relative_difference([zero], [zero])) == 0.0
    assert float(relative_difference([one], [nan])) == 0.0
    assert float(relative_difference([one], [zero])) == math.inf
    assert float(relative_difference([nan], [one])) == math.inf


def test_differences_of_small_gradients_are_seen() -> None:
    for tiny in (torch.tensor([1e-30, 0.0]), torch.tensor([1e-200, 0.0], dtype=torch.float64)):
        assert float(relative_difference([tiny * 1.5], [tiny])) == pytest.approx(0.5, rel=1e-6)
        assert zeroed([tiny, torch.zeros(2), None, torch.empty(0)]) == [False, True, True, True]
