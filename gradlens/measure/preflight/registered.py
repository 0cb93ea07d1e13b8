"""Finds the backward function that was registered for a custom operator (``torch.library.custom_op``, ``register_autograd``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# torch makes the autograd function of a custom operator here. The registered function is in the closure of its backward.
MADE_BY_TORCH = "torch._library.autograd"


def registered(kind: type) -> Callable[..., Any] | None:
    """Returns the backward function that was registered for a custom operator; None if the class is of no such operator.

    Args:
        kind: A ``torch.autograd.Function``.
    """
    if kind.__module__ != MADE_BY_TORCH:
        return None
    backward = vars(kind).get("backward")
    while (function := getattr(backward, "__func__", backward)) is not None:
        inside = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        if "info" in inside:
            found: Callable[..., Any] | None = inside["info"].cell_contents._backward_fn
            return found
        # An operator over lists of tensors: torch wraps the backward once more.
        backward = inside["orig_backward"].cell_contents if "orig_backward" in inside else None
    return None
