"""Embeddings: padding gets no gradient, and what depends on the whole batch is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gradlens.engines.layers import kind_of
from tests.engines.layers.by_row import expect_gradient_of_each_row


@pytest.mark.parametrize("padding", [None, 0, 3])
@pytest.mark.parametrize("indices", [[0, 3, 3], [[0, 1], [3, 3], [2, 0]]])
def test_each_place_that_was_looked_up_counts(padding, indices):
    torch.manual_seed(0)
    expect_gradient_of_each_row(nn.Embedding(5, 2, padding_idx=padding), torch.tensor(indices))


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"scale_grad_by_freq": True}, "counts over the whole batch"), ({"sparse": True}, "its gradient is sparse")],
)
def test_what_is_refused(options, reason):
    layer = nn.Embedding(5, 2, **options)
    assert reason in kind_of(layer).refusal(layer)
