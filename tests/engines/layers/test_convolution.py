"""Convolutions of each dimension, with groups, dilation, strides and every way of padding, against autograd."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gradlens.engines.layers import kind_of
from tests.engines.layers.by_row import expect_gradient_of_each_row

LAYERS = {
    "1d": (lambda: nn.Conv1d(2, 4, 3), (3, 2, 7)),
    "3d": (lambda: nn.Conv3d(2, 3, 2, padding=1), (3, 2, 3, 4, 3)),
    "stride, dilation, groups": (lambda: nn.Conv2d(4, 6, 3, stride=2, dilation=2, groups=2), (3, 4, 9, 8)),
    "padding on each side": (lambda: nn.Conv2d(2, 3, 3, padding=(2, 1)), (3, 2, 5, 6)),
    "same, uneven": (lambda: nn.Conv2d(2, 3, (2, 4), padding="same", bias=False), (3, 2, 5, 6)),
    "valid": (lambda: nn.Conv2d(2, 3, 2, padding="valid"), (3, 2, 5, 6)),
    "circular": (lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (3, 2, 5, 6)),
    "reflect": (lambda: nn.Conv2d(2, 3, (3, 1), padding=(2, 0), padding_mode="reflect"), (3, 2, 5, 6)),
    "replicate, depthwise": (lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="replicate", groups=4), (3, 4, 5, 6)),
    "1 by 1": (lambda: nn.Conv2d(2, 3, 1), (3, 2, 4, 4)),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("name", LAYERS)
def test_the_gradient_of_each_row(name):
    torch.manual_seed(0)
    make, shape = LAYERS[name]
    expect_gradient_of_each_row(make(), torch.randn(shape))


def test_an_input_without_a_dimension_of_samples_is_too_small():
    layer = nn.Conv2d(2, 3, 1)
    assert kind_of(layer).dims(layer) == (4, 4)


def test_a_subclass_that_convolves_in_another_way_has_no_rule():
    class Standardised(nn.Conv2d):
        def _conv_forward(self, inputs, weight, bias):
            return super()._conv_forward(inputs, weight - weight.mean(), bias)

    assert kind_of(Standardised(2, 3, 1)) is None
    assert kind_of(type("Named", (nn.Conv2d,), {})(2, 3, 1)) is not None
