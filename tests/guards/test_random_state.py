"""Backward passes that draw random numbers: the lens's own passes leave the numbers that training draws as they are."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gradlens import Lens
from gradlens.batch.rows import LabelsError
from gradlens.guards.random_state import NumpyState
from gradlens.guards.warning import GradlensWarning
from tests.engines.zoo import CLASSES, GROUPS
from tests.lens.oracle import same
from tests.lens.training import batches, mlp, state

pytestmark = pytest.mark.filterwarnings(f"ignore::{GradlensWarning.__module__}.{GradlensWarning.__name__}")


class Jitter(torch.autograd.Function):
    """Passes its input on, and adds noise to the gradient: from torch's, NumPy's and Python's generators."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        noise = np.random.normal() + random.gauss()  # noqa: NPY002
        return gradient + 0.01 * torch.randn_like(gradient) + 1e-3 * noise


class Jittered(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = mlp(), nn.Linear(CLASSES, CLASSES)

    def forward(self, x):
        return self.head(Jitter.apply(self.body(x)))


def noisy_function():
    torch.manual_seed(0)
    return Jittered()


def noisy_hooks():
    model = mlp()
    for param in model.parameters():
        param.register_hook(lambda g: g + 0.01 * torch.randn_like(g))
    return model


def train(make, measure):
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    lens = Lens(model, GROUPS, optimizer=optimizer, every=1, engine="masked") if measure else None
    for x, y in batches(4):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward() if lens is None else lens.backward(loss, y)
        optimizer.step()
    if lens is not None:
        # A backward function that gives another gradient each time cannot be measured; hooks on parameters can.
        assert lens.last is None if make is noisy_function else lens.last.step == 3
        lens.close()
    return state(model, optimizer)


@pytest.mark.parametrize("make", [noisy_function, noisy_hooks])
def test_training_draws_the_same_numbers(make):
    assert same(train(make, measure=True), train(make, measure=False))


def test_a_number_that_waits_in_a_state_of_the_script_is_drawn_again():
    np.random.seed(0)  # noqa: NPY002
    np.random.normal()  # noqa: NPY002
    waiting = np.random.get_state()  # noqa: NPY002
    expected = np.random.normal()  # noqa: NPY002
    NumpyState()  # the generator has not moved, but nothing waits any more
    np.random.set_state(waiting)  # noqa: NPY002
    saved = NumpyState()
    np.random.normal()  # noqa: NPY002
    saved.restore()
    assert np.random.normal() == expected  # noqa: NPY002


@pytest.mark.parametrize("numbers", [0, 1, 2, 3])
@pytest.mark.parametrize("drawn", [0, 1, 2, 3])
def test_any_number_of_normal_numbers_is_drawn_again(numbers, drawn):
    np.random.seed(1)  # noqa: NPY002
    np.random.normal(size=numbers)  # noqa: NPY002
    saved = NumpyState()
    expected = np.random.normal(size=3)  # noqa: NPY002
    saved.restore()
    np.random.normal(size=drawn)  # noqa: NPY002
    saved.restore()
    assert list(np.random.normal(size=3)) == list(expected)  # noqa: NPY002


def test_wrong_use_draws_nothing():
    model = noisy_function()
    x, y = batches(1)[0]
    lens = Lens(model, GROUPS, every=1)
    loss = F.cross_entropy(model(x), y)
    before = torch.get_rng_state()

    with pytest.raises(LabelsError):
        lens.backward(loss.detach().requires_grad_(), y)

    assert torch.equal(torch.get_rng_state(), before)
    lens.close()
