"""What would be disturbed by a second backward pass is refused in one line, and the training is that without gradlens."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tests.measure.preflight.trainings import function, train


def own_generator() -> Callable[[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(5)
    return function(lambda _, g: g + 0.01 * torch.randn(g.shape, generator=generator))


def generator_of_an_object() -> Callable[[Tensor], Tensor]:
    class Noise:
        def __init__(self) -> None:
            self.generator = torch.Generator().manual_seed(5)

        def on(self, g: Tensor) -> Tensor:
            return g + 0.01 * torch.randn(g.shape, generator=self.generator)

    noise = Noise()
    return function(lambda _, g: noise.on(g))


def numpy_generator() -> Callable[[Tensor], Tensor]:
    generator = np.random.default_rng(5)
    return function(lambda _, g: g + 0.01 * torch.from_numpy(generator.standard_normal(g.shape)).float())


def python_generator() -> Callable[[Tensor], Tensor]:
    generator = random.Random(5)
    return function(lambda _, g: g * generator.random())


def global_generators() -> Callable[[Tensor], Tensor]:
    return function(lambda _, g: g * random.random() * float(np.random.rand()) * torch.rand(()))  # noqa: NPY002


def counter() -> Callable[[Tensor], Tensor]:
    calls = [0]

    def backward(_: Any, g: Tensor) -> Tensor:
        calls[0] += 1
        return g / calls[0]

    return function(backward)


def counter_in_a_closure() -> Callable[[Tensor], Tensor]:
    calls = 0

    def backward(_: Any, g: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return g / calls

    return function(backward)


CALLS = 0


def global_counter() -> Callable[[Tensor], Tensor]:
    def reset_and_count(_: Any, g: Tensor) -> Tensor:
        global CALLS
        CALLS += 1
        return g / CALLS

    global CALLS
    CALLS = 0
    return function(reset_and_count)


def context() -> Callable[[Tensor], Tensor]:
    def backward(ctx: Any, g: Tensor) -> Tensor:
        ctx.calls += 1
        return g / ctx.calls

    return function(backward)


def saved_tensor() -> Callable[[Tensor], Tensor]:
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (kept,) = ctx.saved_tensors
        kept.mul_(2)
        return g * kept

    return function(backward)


def saved_tensor_unseen() -> Callable[[Tensor], Tensor]:
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (kept,) = ctx.saved_tensors
        kept.data.mul_(2)
        return g * kept

    return function(backward)


def running_maximum() -> Callable[[Tensor], Tensor]:
    largest = torch.zeros(())

    def backward(_: Any, g: Tensor) -> Tensor:
        torch.maximum(largest, g.abs().max(), out=largest)
        largest.mul_(1.5)
        return g / (1 + largest)

    return function(backward)


def checkpointed_dropout() -> Callable[[Tensor], Tensor]:
    drop = nn.Dropout(0.5)
    return lambda x: checkpoint(drop, x, use_reentrant=False, preserve_rng_state=False)


STATES = [
    own_generator, generator_of_an_object, numpy_generator, python_generator, global_generators, counter, counter_in_a_closure,
    global_counter, context, saved_tensor, saved_tensor_unseen, running_maximum, checkpointed_dropout,
]  # fmt: skip


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_a_function_with_a_state_is_refused_and_its_state_put_back(state: Callable[[], Any]) -> None:
    weights, _, _ = train(state, measured=False)
    left, last, said = train(state, measured=True)
    assert all(map(torch.equal, weights, left))
    assert last is None
    assert len(said) == 1
    assert "another gradient each time" in said[0] or "changes what it has saved" in said[0]
    assert "training is untouched" in said[0]


class Hidden:
    """Keeps a number where nothing that looks at a function finds it."""

    __slots__ = ("n",)


def test_a_state_that_is_not_found_is_said_to_be_touched() -> None:
    def state() -> Callable[[Tensor], Tensor]:
        hidden = Hidden()
        hidden.n = 0

        def backward(_: Any, g: Tensor) -> Tensor:
            hidden.n += 1
            return g / hidden.n

        return function(backward)

    _, last, said = train(state, measured=True)
    assert last is None
    assert len(said) == 1
    assert "may differ from one without gradlens" in said[0]
    assert "untouched" not in said[0]


def test_a_function_without_a_state_is_measured_exactly() -> None:
    def plain() -> Callable[[Tensor], Tensor]:
        factor = torch.tensor(3.0)
        return function(lambda ctx, g: g * factor * ctx.saved_tensors[0])

    weights, _, _ = train(plain, measured=False)
    left, last, said = train(plain, measured=True)
    assert all(map(torch.equal, weights, left))
    assert said == []
    assert last.residual < 1e-6
