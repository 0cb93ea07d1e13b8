"""An error of a hook of ours is kept, and raised only where our own code asks for it."""

from __future__ import annotations

import warnings

import pytest
import torch

from gradlens.guards.deferred_error import HeldError


def test_the_first_error_is_kept_and_raised_later():
    held = HeldError()
    held.check()
    held.run(lambda: None)
    assert held.error is None

    held.run(lambda a, b: a / b, 1, 0)
    held.hold(ValueError("later"))

    with pytest.raises(ZeroDivisionError):
        held.check()


def test_what_ends_the_process_is_not_kept():
    def interrupted() -> None:
        raise KeyboardInterrupt

    held = HeldError()
    with pytest.raises(KeyboardInterrupt):
        held.run(interrupted)
    assert held.error is None


def test_a_backward_pass_goes_on_past_a_hook_that_fails():
    held, seen = HeldError(), []

    def hook(number: int, gradient: torch.Tensor) -> None:
        seen.append((number, gradient.tolist()))
        raise RuntimeError("ours")

    x = torch.ones(2, requires_grad=True)
    x.register_hook(held.hook(hook, 7))
    (3 * x).sum().backward()

    assert x.grad.tolist() == [3.0, 3.0]
    assert seen == [(7, [3.0, 3.0])]
    with pytest.raises(RuntimeError, match="ours"):
        held.check()


def test_a_tensor_with_such_a_hook_is_saved_without_a_warning(tmp_path):
    x = torch.ones(2, requires_grad=True)
    x.register_hook(HeldError().hook(lambda _: None))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.save(x, tmp_path / "x.pt")
    assert not torch.load(tmp_path / "x.pt")._backward_hooks
