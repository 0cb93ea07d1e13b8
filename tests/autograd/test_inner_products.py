"""Inner products layer by layer, against flat float64 dot products; and how parameters belong to layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gradlens.autograd import inner_products as inner
from gradlens.autograd.inner_products import Layout, inner_products

SHAPES = [(3, 4), (5,), (2, 3, 3, 2), (), (40,)]
LAYER_OF = [0, 0, 2, 1, 2]


def vectors(count: int) -> list[list[Tensor | None]]:
    torch.manual_seed(0)
    found: list[list[Tensor | None]] = [[torch.randn(shape) for shape in SHAPES] for _ in range(count)]
    found[0][1] = None
    found[1][4] = None
    found[-1] = [None] * len(SHAPES)
    found[2][2] = torch.randn(2, 3, 3, 2).contiguous(memory_format=torch.channels_last)
    dense = torch.zeros(3, 4)
    dense[1] = torch.arange(4.0)
    found[2][0] = dense.to_sparse(1)
    return found


def expected(given: list[list[Tensor | None]]) -> np.ndarray:
    def flat(vector: list[Tensor | None], layer: int) -> Tensor:
        parts = [
            torch.zeros(shape).double().flatten() if g is None else g.to_dense().double().reshape(-1)
            for g, shape, at in zip(vector, SHAPES, LAYER_OF, strict=True)
            if at == layer
        ]
        return torch.cat(parts)

    return np.array([[[float(flat(a, layer) @ flat(b, layer)) for b in given] for a in given] for layer in range(3)])


@pytest.mark.parametrize("block", [2**22, 60, 4])
def test_agrees_with_flat_products_whatever_the_block(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inner, "BLOCK", block)
    given = vectors(4)
    params = [nn.Parameter(torch.zeros(shape)) for shape in SHAPES]
    found = inner_products(given, params, LAYER_OF, 3)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), expected(given), rtol=1e-12, atol=1e-12)


def test_small_next_to_large_is_not_lost() -> None:
    """Float32 would lose the small entries: 1e8 + 1."""
    values = torch.tensor([1e4] + [1.0] * 1000)
    param = [nn.Parameter(torch.zeros(1001))]
    found = inner_products([[values], [torch.ones(1001)]], param, [0], 1)
    assert found[0, 0, 0] == 1e8 + 1000
    assert found[0, 0, 1] == 1e4 + 1000


def test_nothing_at_all() -> None:
    assert inner_products([[], []], [], [], 0).shape == (0, 2, 2)
    assert inner_products([[None], [None]], [nn.Parameter(torch.zeros(3))], [0], 1).tolist() == [[[0, 0], [0, 0]]]


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))
        self.first, self.norm = nn.Linear(2, 2), nn.BatchNorm1d(2)
        self.last = nn.Linear(2, 2)
        self.last.weight = self.first.weight
        self.ids = nn.Parameter(torch.zeros(2, dtype=torch.int64), requires_grad=False)
        self.first.bias.requires_grad_(False)


def test_layout_counts_tied_parameters_once_and_integers_never() -> None:
    model = Model()
    layout = Layout.of(model)
    assert layout.layers == ("(root)", "first", "norm", "last")
    assert [layout.layers[i] for i in layout.layer_of] == ["(root)", "first", "first", "norm", "norm", "last"]
    assert layout.params[1] is model.last.weight
    assert layout.trainable() == [0, 1, 3, 4, 5]
    model.first.bias.requires_grad_(True)
    assert layout.trainable() == [0, 1, 2, 3, 4, 5]


def test_layers_of_a_compiled_model_keep_their_names() -> None:
    class Wrapped(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self._orig_mod: Any = model

    assert Layout.of(Wrapped(Model())).layers == Layout.of(Model()).layers
    inside = nn.Sequential(Wrapped(nn.Linear(2, 2)))
    assert Layout.of(inside).layers == ("0",)


def test_products_are_symmetric_to_the_last_bit():
    torch.manual_seed(0)
    for size in (7, 33, 130):
        params = [nn.Parameter(torch.zeros(size, 3)), nn.Parameter(torch.zeros(size))]
        vectors = [[torch.randn(p.shape) for p in params] for _ in range(7)]
        found = inner_products(vectors, params, [0, 1], 2)
        assert torch.equal(found, found.mT)
        last = torch.stack([vector[1].double() for vector in vectors])  # [7, size]
        torch.testing.assert_close(found[1], last @ last.T)
