"""What a forward pass rounds to: autocast's dtype, TF32 where a GPU multiplies in it, or nothing below float32."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gradlens.autograd.graph import edge_of, walk
from gradlens.batch.rounding import multiplies_in_tf32, rounding_of, rounding_of_graph


@pytest.fixture(autouse=True)
def _as_pytorch_sets_it():
    """PyTorch's defaults, and those again afterwards: convolutions and recurrent networks in TF32, other products not."""

    def defaults():
        torch.backends.cuda.matmul.fp32_precision = "none"
        torch.backends.cudnn.conv.fp32_precision = torch.backends.cudnn.rnn.fp32_precision = "tf32"

    defaults()
    yield
    defaults()


def test_default_multiplies_convolutions_and_recurrent_networks_in_tf32():
    assert multiplies_in_tf32(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()))
    assert multiplies_in_tf32(nn.Sequential(nn.LSTM(3, 4)))
    assert not multiplies_in_tf32(nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4)))


def test_flags_count_by_their_newer_names():
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    assert multiplies_in_tf32(nn.Linear(3, 4))
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    torch.backends.cudnn.conv.fp32_precision = "ieee"
    assert not multiplies_in_tf32(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(3, 4)))


def test_a_cpu_rounds_to_autocasts_dtype_only():
    model = nn.Sequential(nn.Conv2d(3, 4, 3))
    assert rounding_of(model) == 0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert rounding_of(model) == 2.0**-7


@pytest.mark.parametrize(("dtype", "eps"), [(torch.bfloat16, 2.0**-7), (torch.float16, 2.0**-10)])
def test_a_graph_tells_of_autocast_that_has_ended(dtype, eps):
    layer, images = nn.Linear(3, 4), torch.ones(2, 3)
    with torch.autocast("cpu", dtype=dtype):
        inside = layer(images).float()
    assert rounding_of_graph(walk([edge_of(inside.sum())])) == eps


def test_a_graph_tells_of_what_was_copied_back_to_full_precision():
    half = torch.ones(2, dtype=torch.bfloat16, requires_grad=True)
    assert rounding_of_graph(walk([edge_of((2 * half).float().sum())], leaves=False)) == 2.0**-7
    assert rounding_of_graph(walk([edge_of(half.float().sum())], leaves=False)) == 2.0**-7


def test_a_graph_in_full_precision_has_no_rounding():
    layer, images = nn.Linear(3, 4), torch.ones(2, 3)
    assert rounding_of_graph(walk([edge_of(layer(images).double().sum())])) == 0
    assert rounding_of_graph(walk([edge_of(layer(images).to(torch.complex64).abs().sum())])) == 0
