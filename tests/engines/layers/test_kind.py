"""What a rule is made of: sums over rows and places, and which parameters train."""

from __future__ import annotations

import torch
from torch import nn

from gradlens.engines.layers.kind import total, trains


def test_sums_keep_the_dimensions_of_the_parameter_and_maybe_the_rows():
    product = torch.arange(24.0).reshape(2, 3, 4)
    assert torch.equal(total(product, (1,), False), torch.einsum("rct->c", product))
    assert torch.equal(total(product, (1,), True), torch.einsum("rct->rc", product))
    assert torch.equal(total(product, (-1,), True), torch.einsum("rct->rt", product))
    assert torch.equal(total(product, (), True), torch.einsum("rct->r", product))
    assert float(total(product, (), False)) == 276.0  # 0 + 1 + ... + 23
    assert torch.equal(total(product, (1, 2), True), product)


def test_which_parameters_train():
    layer = nn.Linear(2, 2, bias=False)
    assert trains(layer, "weight")
    assert not trains(layer, "bias")
    assert not trains(layer, "scale")
    layer.weight.requires_grad_(False)
    assert not trains(layer, "weight")
