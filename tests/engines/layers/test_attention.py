"""Attention, run again on some rows, against autograd on these rows alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gradlens.batch.selection import Selection
from gradlens.engines.layers import attention

ROWS = torch.tensor([0, 3])


def masks(kind):
    if kind == "one for all":
        return {"attn_mask": torch.ones(3, 3, dtype=torch.bool).triu(1)}
    if kind == "one for each row and head":
        return {"attn_mask": torch.randn(4 * 2, 3, 3).double()}
    if kind == "padding":
        return {"key_padding_mask": torch.arange(3) >= torch.tensor([3, 2, 3, 1])[:, None]}
    return {}


@pytest.mark.parametrize("kind", ["none", "one for all", "one for each row and head", "padding"])
def test_rows_count_by_their_own_inputs_and_masks(kind):
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(4, 2, batch_first=True).double()
    x = torch.randn(4, 3, 4, dtype=torch.float64)
    given = masks(kind)
    grads = torch.randn(2, 3, 4, dtype=torch.float64)
    params = list(attention.owned(layer).values())

    found = attention.gradients(layer, attention.bind(layer, (x, x, x), given), Selection(ROWS, None), grads, params)

    # The same with the whole batch, of which the other rows get no gradient.
    whole = torch.zeros(4, 3, 4, dtype=torch.float64).index_copy_(0, ROWS, grads)
    truth = torch.autograd.grad(layer(x, x, x, **given)[0], params, whole)
    assert len(params) == 4
    for gradient, expected in zip(found, truth, strict=True):
        torch.testing.assert_close(gradient, expected)


def test_dropout_cannot_be_run_again():
    layer = nn.MultiheadAttention(4, 2, dropout=0.5)
    assert "draws random numbers" in attention.refusal(layer)
    assert attention.refusal(layer.eval()) is None
    assert attention.refusal(nn.MultiheadAttention(4, 2)) is None


def test_only_the_attention_of_torch_is_covered():
    class Other(nn.MultiheadAttention):
        def forward(self, *args, **kwargs):
            return super().forward(*args, **kwargs)

    assert attention.covers(nn.MultiheadAttention(4, 2))
    assert not attention.covers(Other(4, 2))
    assert not attention.covers(nn.Linear(4, 2))
