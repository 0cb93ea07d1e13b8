"""Linear layers, on vectors and on sequences, against autograd."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gradlens.engines.layers import kind_of
from tests.engines.layers.by_row import expect_gradient_of_each_row


@pytest.mark.parametrize("shape", [(4, 3), (4, 5, 3), (4, 2, 5, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_rows_of_any_shape(shape, bias):
    torch.manual_seed(0)
    expect_gradient_of_each_row(nn.Linear(3, 2, bias=bias), torch.randn(shape))


@pytest.mark.parametrize(("frozen", "left"), [("weight", {"bias"}), ("bias", {"weight"})])
def test_frozen_parameters_cost_nothing(frozen, left):
    layer = nn.Linear(3, 2)
    getattr(layer, frozen).requires_grad_(False)
    assert kind_of(layer).gradients(layer, torch.randn(4, 3), torch.randn(4, 2), False).keys() == left


def test_a_single_vector_has_no_rows():
    layer = nn.Linear(3, 2)
    assert kind_of(layer).dims(layer) == (2, None)
