"""What would be disturbed by a second backward pass is refused in one line, and the training is that without gradlens."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gradlens import Lens
from tests.measure.preflight.trainings import GROUPS, function, train


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


def test_a_state_that_is_not_found_is_said_to_be_touched() -> None:
    def state() -> Callable[[Tensor], Tensor]:
        hidden = itertools.count(1)
        return function(lambda _, g: g / next(hidden))

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


def train_beside(scales: list[float], measured: bool) -> tuple[list[Tensor], list[str], int]:
    """Trains with a loss that has its gradient ready, and scales it in place, beside a loss that is measured."""

    class Fused(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(2 * x.detach())
            return x.square().sum()

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Tensor:
            (ready,) = ctx.saved_tensors
            return ready if g == 1 else ready.mul_(g)

    torch.manual_seed(0)
    body, head = nn.Linear(6, 8), nn.Linear(8, 4)
    model = nn.Sequential(body, head)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    said: list[str] = []
    lens = Lens(model, GROUPS, optimizer=optimizer, every=1, announce=said.append) if measured else None
    steps = 0
    for scale in scales:
        x, y = torch.randn(16, 6), torch.randint(0, 4, (16,))
        hidden = body(x)
        logits = head(hidden)
        loss = F.cross_entropy(logits, y) + scale * Fused.apply(hidden)
        optimizer.zero_grad()
        loss.backward() if lens is None else lens.backward(loss, y, outputs=logits)
        optimizer.step()
        steps += lens is not None and lens.last is not None and lens.last.step == lens.step - 1
    if lens is not None:
        lens.close()
    return [p.detach().clone() for p in model.parameters()], said, steps


@pytest.mark.parametrize("scales", [[0.5] * 4, [1.0, 1.0, 0.5, 1.0, 0.25]], ids=["always", "later"])
def test_a_loss_around_the_anchor_that_changes_what_it_saved(scales: list[float]) -> None:
    weights, _, _ = train_beside(scales, measured=False)
    left, said, steps = train_beside(scales, measured=True)
    assert all(map(torch.equal, weights, left))
    if scales[0] == 1.0:  # nothing is changed in the first steps, later it is put back
        assert steps == len(scales)
        assert not any("could not be measured" in line for line in said)
    else:
        assert steps == 0
        assert len(said) == 1
        assert "changes what it has saved while it runs" in said[0]
        assert "training is untouched" in said[0]
