"""The backward of a custom operator is found behind the function that torch makes of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from gradlens.measure.preflight.registered import registered
from tests.measure.preflight.trainings import train

NUMBERS = iter(range(1000))


def operator(backward: Any, lists: bool) -> Any:
    name = f"gradlens_tests::custom{next(NUMBERS)}"
    if lists:

        @torch.library.custom_op(name, mutates_args=())
        def made(parts: list[Tensor]) -> Tensor:
            return parts[0] + 0

    else:

        @torch.library.custom_op(name, mutates_args=())
        def made(x: Tensor) -> Tensor:
            return x.clone()

    made.register_autograd(backward)
    return (lambda x: made([x])) if lists else made


@pytest.mark.parametrize("lists", [False, True])
def test_the_function_is_found(lists):
    def backward(ctx: Any, g: Tensor) -> Any:
        return [g] if lists else g

    result = operator(backward, lists)(torch.ones(2, requires_grad=True))
    assert registered(type(result.grad_fn)._forward_cls) is backward


def test_other_functions_are_what_they_are():
    class Own(torch.autograd.Function):
        pass

    assert registered(Own) is None


@pytest.mark.parametrize("lists", [False, True])
def test_a_state_of_a_custom_operator_is_put_back(lists):
    def noisy() -> Any:
        generator = torch.Generator().manual_seed(5)

        def backward(ctx: Any, g: Tensor) -> Any:
            g = g + 0.01 * torch.randn(g.shape, generator=generator)
            return [g] if lists else g

        return operator(backward, lists)

    weights, _, _ = train(noisy, measured=False)
    left, last, said = train(noisy, measured=True)
    assert all(map(torch.equal, weights, left))
    assert last is None
    assert len(said) == 1
    assert "backward gives another gradient each time" in said[0]
    assert "training is untouched" in said[0]


def test_a_custom_operator_that_counts_its_calls_is_measured_and_counts_the_trainings():
    counts = []

    def counting() -> Any:
        counts.append(0)

        def backward(ctx: Any, g: Tensor) -> Tensor:
            counts[-1] += 1
            return g.clone()

        return operator(backward, False)

    train(counting, measured=False)
    _, last, said = train(counting, measured=True)
    assert said == []
    assert last.residual < 1e-6
    assert counts == [5, 5]
