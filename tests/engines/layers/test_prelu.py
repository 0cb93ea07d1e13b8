"""The slope's gradient against autograd, row by row and summed, also where a product would make NaN of infinity."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gradlens.engines.layers import kind_of


@pytest.mark.parametrize(("slopes", "shape"), [(1, (5,)), (1, (5, 3)), (3, (5, 3)), (3, (5, 3, 4, 4)), (1, (5, 3, 4))])
def test_rows_one_by_one_and_together(slopes, shape):
    torch.manual_seed(0)
    layer, inputs, grads = nn.PReLU(slopes).double(), torch.randn(shape).double(), torch.randn(shape).double()
    inputs[0] = inputs[0].clamp(min=0)  # zeros, too
    grads.masked_fill_((inputs > 0) & (torch.rand(shape) < 0.2), float("inf"))
    kind = kind_of(layer)
    each = kind.gradients(layer, inputs, grads, True)["weight"]
    assert each.shape == (5, slopes)
    for row in range(5):
        (truth,) = torch.autograd.grad(layer(inputs[row : row + 1]), layer.weight, grads[row : row + 1])
        torch.testing.assert_close(each[row], truth)
    torch.testing.assert_close(kind.gradients(layer, inputs, grads, False)["weight"], each.sum(0))
