"""Sums over the rows of many groups, all at once or group by group: the same, and that of autograd."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gradlens.batch.selection import Selection
from gradlens.engines import group_sums
from gradlens.engines.group_sums import GroupSums, plain_arithmetic
from gradlens.engines.layers import kind_of

ROWS = 12


def selections(soft: bool) -> list[Selection]:
    torch.manual_seed(1)
    index = [torch.tensor([row, (row + 3) % ROWS]) for row in range(9)]
    weights = [torch.rand(2, dtype=torch.float64) if soft and number % 2 else None for number in range(9)]
    return [Selection(torch.tensor([], dtype=torch.long), None), *map(Selection, index, weights)]


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("many", [8, 99])  # from how many groups on all rows are computed at once
@pytest.mark.parametrize("piece", [2**24, 7])
def test_each_group_has_the_gradient_of_its_rows(soft, many, piece, monkeypatch):
    monkeypatch.setattr(group_sums, "MANY_GROUPS", many)
    monkeypatch.setattr(group_sums, "PIECE", piece)
    torch.manual_seed(0)
    layer = nn.Linear(3, 2).double()
    inputs = torch.randn(ROWS, 4, 3, dtype=torch.float64)
    grads = torch.randn(ROWS, 4, 2, dtype=torch.float64)
    chosen = selections(soft)
    sums = GroupSums(list(layer.parameters()), chosen)

    for _ in range(2):  # a layer that is called twice
        sums.add_layer(kind_of(layer), layer, inputs, grads)

    nothing, *found = sums.result()
    assert nothing == [None, None]
    for selection, vector in zip(chosen[1:], found, strict=True):
        weight = torch.ones(2) if selection.weight is None else selection.weight
        seeds = 2 * grads[selection.index] * weight[:, None, None]
        truth = torch.autograd.grad(layer(inputs[selection.index]), list(layer.parameters()), seeds)
        for gradient, expected in zip(vector, truth, strict=True):
            torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("left_out", [0, 2, 7])  # all rows are taken together, or (7) only the wanted ones are gathered
@pytest.mark.parametrize("piece", [2**24, 7])
def test_rows_of_no_group_add_nothing(left_out, piece, monkeypatch):
    monkeypatch.setattr(group_sums, "MANY_GROUPS", 2)
    monkeypatch.setattr(group_sums, "PIECE", piece)
    torch.manual_seed(0)
    layer = nn.Conv1d(2, 3, 2).double()
    inputs = torch.randn(ROWS, 2, 5, dtype=torch.float64)
    grads = torch.randn(ROWS, 3, 4, dtype=torch.float64)
    order = torch.randperm(ROWS)[left_out:]
    chosen = [Selection(index, None) for index in (*order.tensor_split([1, 3]), torch.tensor([], dtype=torch.long))]
    sums = GroupSums(list(layer.parameters()), chosen)

    sums.add_layer(kind_of(layer), layer, inputs, grads)

    *found, nothing = sums.result()
    assert nothing == [None, None]
    for selection, vector in zip(chosen, found, strict=False):
        truth = torch.autograd.grad(layer(inputs[selection.index]), list(layer.parameters()), grads[selection.index])
        for gradient, expected in zip(vector, truth, strict=True):
            torch.testing.assert_close(gradient, expected)


def test_parameters_that_are_not_measured_are_left_out():
    layer = nn.Linear(3, 2)
    sums = GroupSums([layer.bias], [Selection(torch.tensor([0]), None)])
    sums.add_layer(kind_of(layer), layer, torch.ones(1, 3), torch.full((1, 2), 5.0))
    (((bias),),) = sums.result()
    assert bias.tolist() == [5.0, 5.0]


def test_half_precision_is_added_up_in_single_and_returned_in_its_own():
    layer = nn.Linear(1, 1, bias=False).half()
    index = torch.arange(4096)
    sums = GroupSums([layer.weight], [Selection(index, None)])
    ones = torch.ones(4096, 1, dtype=torch.float16)
    sums.add_layer(kind_of(layer), layer, ones, ones)
    ((weight,),) = sums.result()
    assert weight.dtype == torch.float16
    assert float(weight) == 4096.0


@pytest.mark.parametrize("on", [False, True])
def test_plain_arithmetic_has_neither_graph_nor_autocast(on):
    x = torch.ones(2, 2, requires_grad=True)
    with torch.autocast("cpu", enabled=on), plain_arithmetic("cpu"):
        found = x @ x
    assert found.dtype == torch.float32
    assert not found.requires_grad
