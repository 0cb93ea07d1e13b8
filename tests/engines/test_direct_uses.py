"""Parameters that forward code uses by itself: the gradient of some rows against autograd on these rows."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gradlens.batch.selection import Selection
from gradlens.engines import direct_uses
from gradlens.engines.audit import DirectUse, audit

X = torch.randn(4, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
CHOSEN = Selection(torch.tensor([1, 3]), torch.tensor([0.5, 1.0], dtype=torch.float64))


def parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.rand(shape, dtype=torch.float64) + 0.5)


FORWARDS = {
    "position": (lambda p, x: x + p, (1, 3, 2)),
    "position, first": (lambda p, x: p + x, (3, 2)),
    "added twice": (lambda p, x: torch.add(x, p, alpha=2), (3, 1)),
    "layer scale": (lambda p, x: x * p, (2,)),
    "layer scale, first": (lambda p, x: p * x, (1, 3, 1)),
    "class token": (lambda p, x: p.expand(4, -1, -1), (1, 3, 2)),
    "a single number": (lambda p, x: x * p, ()),
}


def used(name: str) -> tuple[DirectUse, torch.Tensor, nn.Parameter]:
    forward, shape = FORWARDS[name]
    param = parameter(*shape)
    output = forward(param, X)
    (use,) = audit([output], [], {id(param)}).direct
    return use, output, param


@pytest.mark.parametrize("name", FORWARDS)
def test_the_gradient_of_some_rows(name):
    use, output, param = used(name)
    assert direct_uses.refusal(use, 4) is None
    grads = torch.randn(output.shape, dtype=torch.float64)

    found = direct_uses.gradient(use, CHOSEN, grads)

    weights = torch.tensor([0.0, 0.5, 0.0, 1.0], dtype=torch.float64).reshape(4, 1, 1)
    (truth,) = torch.autograd.grad(output, param, grads * weights)
    torch.testing.assert_close(found, truth)


def test_uses_that_cannot_be_told_apart_by_rows():
    def refused(forward, *shape):
        param = parameter(*shape)
        (use,) = audit([forward(param)], [], {id(param)}).direct
        return direct_uses.refusal(use, 4)

    assert "outside the layers that split covers" in refused(lambda p: X @ p, 2, 2)
    assert "is used by SubBackward0" in refused(lambda p: X - p, 3, 2)
    assert "does not count the 4 samples" in refused(lambda p: p * 2, 3, 2)
    assert "other values for each row" in refused(lambda p: X + p, 4, 3, 2)
