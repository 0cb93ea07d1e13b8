"""Hooks of the script that passes of ours would disturb are refused by name, before the first of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens import Lens
from tests.measure.preflight.trainings import GROUPS, train


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
