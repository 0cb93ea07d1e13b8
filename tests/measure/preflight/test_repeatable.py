"""What would be disturbed by a second backward pass is refused in one line, and the training is that without gradlens."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gradlens import ClassGroups, Lens

GROUPS = ClassGroups({"head": [0, 1], "tail": [2, 3]}, num_classes=4)


def train(
    make: Callable[[], Callable[[Tensor], Tensor]], measured: bool, **options: Any
) -> tuple[list[Tensor], Any, list[str]]:
    """Trains with what ``make`` returns between the layers; returns weights, the last measurement, and what was said."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    between = make()
    first, second = nn.Linear(6, 8), nn.Linear(8, 4)
    model = nn.ModuleList([first, second])
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    said: list[str] = []
    lens = Lens(model, GROUPS, optimizer=optimizer, every=1, announce=said.append, **options) if measured else None
    last = None
    for _ in range(5):
        x, y = torch.randn(16, 6), torch.randint(0, 4, (16,))
        logits = second(between(first(x)))
        loss = F.cross_entropy(logits, y)
        optimizer.zero_grad()
        loss.backward() if lens is None else lens.backward(loss, y, outputs=logits)
        optimizer.step()
    if lens is not None:
        last = lens.last
        lens.close()
    return [p.detach().clone() for p in model.parameters()], last, said


def function(backward: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
    """An autograd function that hands its input on, and has a backward of its own."""

    class Own(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(torch.ones_like(x))
            ctx.calls = 0
            return x.clone()

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Tensor:
            return backward(ctx, g)

    return Own.apply


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


def test_a_hook_that_changes_the_gradient_is_refused_by_name() -> None:
    def clipped(gradient: Tensor) -> Tensor:
        return gradient.clamp(-1e-3, 1e-3)

    def hooked() -> Callable[[Tensor], Tensor]:
        def between(x: Tensor) -> Tensor:
            y = x * 1
            y.register_hook(clipped)
            return y

        return between

    weights, _, _ = train(hooked, measured=False)
    left, last, said = train(hooked, measured=True)
    assert all(map(torch.equal, weights, left))
    assert last is None
    assert len(said) == 1
    assert "clipped changes gradients" in said[0]


def test_a_module_hook_that_changes_the_gradient_is_refused_by_name() -> None:
    def halved(_: Any, inputs: Any, outputs: Any) -> Any:
        return (inputs[0] / 2,)

    def hooked() -> Callable[[Tensor], Tensor]:
        relu = nn.Tanh()
        relu.register_full_backward_hook(halved)
        return relu

    weights, _, _ = train(hooked, measured=False)
    left, last, said = train(hooked, measured=True)
    assert all(map(torch.equal, weights, left))
    assert last is None
    assert "halved (on Tanh) changes gradients" in said[0]


def test_a_hook_that_was_there_before_the_lens_is_refused_by_name() -> None:
    heard: list[int] = []

    def counted(*_: Any) -> None:
        heard.append(1)

    model = nn.Linear(6, 4)
    y = torch.randint(0, 4, (16,))
    logits = model(torch.randn(16, 6)).relu()
    logits.grad_fn.register_hook(counted)
    said: list[str] = []
    with Lens(model, GROUPS, every=1, announce=said.append) as lens:
        lens.backward(F.cross_entropy(logits, y), y, outputs=logits)
        assert lens.last is None
    assert heard == [1]
    assert "counted was there before gradlens" in said[0]


def test_func_leaves_forward_hooks_of_the_script_alone() -> None:
    calls: list[int] = []
    model = nn.Sequential(nn.Linear(6, 4))
    model[0].register_forward_hook(lambda *_: calls.append(1))
    with warnings.catch_warnings(), Lens(model, GROUPS, every=1, engine="func", announce=lambda _: None) as lens:
        warnings.simplefilter("error")
        y = torch.randint(0, 4, (16,))
        lens.backward(F.cross_entropy(model(torch.randn(16, 6)), y), y)
        assert "forward hook" in lens.engine_reason
    assert calls == [1]
