"""Normalisation layers with scale and shift, against autograd; and those that mix the samples are refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gradlens.engines.layers import kind_of
from tests.engines.layers.by_row import expect_gradient_of_each_row


def evaluated(layer: nn.Module, inputs: torch.Tensor) -> nn.Module:
    """Gives a batch normalisation statistics of its own."""
    for _ in range(3):
        layer(inputs * 2 + 1)
    return layer.eval()


LAYERS = {
    "layer": (lambda x: nn.LayerNorm(5), (4, 3, 5)),
    "layer, two dimensions": (lambda x: nn.LayerNorm((3, 5), eps=0.1), (4, 3, 5)),
    "layer, no bias": (lambda x: nn.LayerNorm(5, bias=False), (4, 5)),
    "rms": (lambda x: nn.RMSNorm(5, eps=0.1), (4, 3, 5)),
    "rms, default eps": (lambda x: nn.RMSNorm(5), (4, 5)),
    "group": (lambda x: nn.GroupNorm(2, 4, eps=0.1), (4, 4, 3, 2)),
    "group, vectors": (lambda x: nn.GroupNorm(2, 4), (4, 4)),
    "batch, evaluated": (lambda x: evaluated(nn.BatchNorm2d(4, eps=0.1), x), (4, 4, 3, 2)),
    "batch of vectors, evaluated": (lambda x: evaluated(nn.BatchNorm1d(4), x), (4, 4)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_gradient_of_each_row(name):
    torch.manual_seed(0)
    make, shape = LAYERS[name]
    inputs = torch.randn(shape)
    layer = make(inputs)
    for param in layer.parameters():
        nn.init.normal_(param)
    expect_gradient_of_each_row(layer, inputs)


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(4), nn.BatchNorm2d(4, track_running_stats=False).eval()])
def test_statistics_of_the_batch_are_refused(layer):
    assert "mixes the samples" in kind_of(layer).refusal(layer)


def test_an_eps_that_depends_on_the_kernel_is_refused():
    layer = nn.RMSNorm(5).bfloat16()
    assert "give a number" in kind_of(layer).refusal(layer)
    layer = nn.RMSNorm(5, eps=1e-6).bfloat16()
    assert kind_of(layer).refusal(layer) is None
