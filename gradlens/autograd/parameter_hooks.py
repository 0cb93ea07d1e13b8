"""Hooks on parameters: they belong to the training's own backward pass, and what they make of a gradient is not measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from gradlens.autograd.grads import Grads
from gradlens.guards.deferred_error import HeldError


@contextmanager
def silenced(params: Sequence[Tensor]) -> Iterator[None]:
    """Takes the hooks off leaf tensors during the passes inside.

    They clip, mask, log or keep averages: a pass of ours must not run them, for what they remember is training's.

    Args:
        params: Leaf tensors.
    """
    hooked = [hooks for param in params if (hooks := param._backward_hooks)]
    kept = [dict(hooks) for hooks in hooked]
    for hooks in hooked:
        hooks.clear()  # torch calls what it finds in this very dict
    try:
        yield
    finally:
        for hooks, those in zip(hooked, kept, strict=True):
            hooks.update(those)


class RawGradients:
    """The gradients of parameters with hooks, before those hooks; of others ``.grad`` says the same.

    A hook may step an optimizer and throw the gradient away, so that after the backward pass nothing is left of it.
    """

    def __init__(self, params: Sequence[Tensor], *, vanishing: bool) -> None:
        """Prepares.

        Args:
            params: P leaf tensors.
            vanishing: Also note gradients that hooks may use up in the backward pass; not where processes average them.
        """
        self._params, self._vanishing = params, vanishing
        self._found: dict[int, Tensor] = {}
        self._held = HeldError()

    def noting(self, backward: Callable[[], None]) -> Callable[[], None]:
        """Returns a backward pass that does the same as ``backward`` and is listened to."""

        def noted() -> None:
            with self._listening():
                backward()

        return noted

    def put_into(self, total: Grads) -> Grads:
        """Returns a gradient [P] that has what was noted in the place of what hooks made of it, or where it is gone.

        Raises:
            Exception: What went wrong while noting, which did not reach the backward pass.
        """
        self._held.check()
        return [self._chosen(index, gradient) for index, gradient in enumerate(total)]

    def _chosen(self, index: int, gradient: Tensor | None) -> Tensor | None:
        noted = self._found.get(index)
        if noted is None or gradient is None or gradient.is_sparse or self._params[index]._backward_hooks:
            return gradient if noted is None else noted
        # Zeroed in the backward pass; asking whether it was would wait for the device.
        return torch.where((gradient == 0).all(), noted.to(gradient), gradient)

    def forget(self, indices: Iterable[int]) -> None:
        """Drops what was noted of parameters whose gradients were thrown away."""
        for index in indices:
            self._found.pop(index, None)

    def __len__(self) -> int:
        return len(self._found)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        handles: list[Any] = []
        # One of them may step an optimizer of all parameters.
        stepping = self._vanishing and any(param._post_accumulate_grad_hooks for param in self._params)
        for index, param in enumerate(self._params):
            hooks = param._backward_hooks
            if hooks or stepping:
                others = dict(hooks or {})
                if hooks:
                    hooks.clear()  # ours comes first
                try:
                    handles.append(param.register_hook(self._held.hook(self._note, index)))  # type: ignore[no-untyped-call]
                finally:
                    if hooks:
                        hooks.update(others)
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _note(self, index: int, gradient: Tensor) -> None:
        copy = gradient.detach().clone()  # a hook may write into it
        self._found[index] = self._found[index] + copy if index in self._found else copy
