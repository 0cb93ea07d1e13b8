"""Complex parameters and outputs: a complex number counts as its real and its imaginary part."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens import Lens
from tests.engines.zoo import CLASSES, GROUPS
from tests.lens.oracle import apart
from tests.lens.training import batches

ENGINES = ("auto", "masked", "split", "func")


pytestmark = pytest.mark.usefixtures("one_thread")


class Fourier(nn.Module):
    """A linear layer, a filter of complex weights in the frequency domain, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, 8), nn.Linear(8, CLASSES)
        self.filter = nn.Parameter(torch.randn(5, dtype=torch.complex64))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.fft.irfft(torch.fft.rfft(self.first(x)) * self.filter, n=8).tanh())


class Complex(nn.Module):
    """Nothing but complex parameters, and complex scores of the classes."""

    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Linear(5, CLASSES, dtype=torch.complex64)

    def forward(self, x: Tensor) -> Tensor:
        return self.only(x.to(self.only.weight.dtype))


def terms(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Each sample's part of the loss, [B]."""
    scores = model(x)
    return F.cross_entropy(scores.abs() if scores.is_complex() else scores, y, reduction="none") / len(y)


def expected(model: nn.Module, x: Tensor, y: Tensor) -> np.ndarray:
    """The Gram in double precision, real and imaginary parts side by side; the last vector is the empty rest."""
    twin = copy.deepcopy(model)
    for param in twin.parameters():
        param.data = param.data.to(torch.complex128 if param.is_complex() else torch.float64)
    rows = terms(twin, x.double(), y)
    vectors = []
    for ids in GROUPS.classes:
        mine = rows[torch.isin(y, torch.tensor(ids))].sum()
        found = torch.autograd.grad(mine, list(twin.parameters()), retain_graph=True)
        parts = [part for g in found for part in ((g.real, g.imag) if g.is_complex() else (g,))]
        vectors.append(torch.cat([part.reshape(-1) for part in parts]))
    vectors.append(torch.zeros_like(vectors[0]))
    return np.array([[float(a @ b) for b in vectors] for a in vectors])


@pytest.mark.parametrize("make", [Fourier, Complex])
@pytest.mark.parametrize("engine", ENGINES)
def test_complex_numbers_are_measured_whole(engine: str, make: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with Lens(model, GROUPS, optimizer=optimizer, every=1, engine=engine, strict=True) as lens:
        for x, y in batches(2):
            truth = expected(model, x, y)
            lens.backward(terms(model, x, y).sum(), y)
            optimizer.step()
            optimizer.zero_grad()
            assert lens.last is not None
            assert apart(lens.last.gram, truth) <= 1e-4
            assert lens.last.residual <= 1e-5
        assert lens.engine_name == ("func" if engine == "func" else "masked")
    if engine in ("auto", "split"):
        assert "is complex" in lens.engine_reason
