"""Hooks on parameters: gradlens' own passes do not call them, and gradients are measured before they change them."""

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
    """Takes the hooks off leaf tensors inside the ``with`` block, and puts them back after it.

    Such hooks clip, mask or log gradients, or keep averages. An own pass must not call them: they remember what they see, and
    should see only the training's own gradients.

    Args:
        params: Leaf tensors.
    """
    hooked = [hooks for param in params if (hooks := param._backward_hooks)]
    kept = [dict(hooks) for hooks in hooked]
    for hooks in hooked:
        hooks.clear()  # the dict itself must stay: torch calls the hooks in it
    try:
        yield
    finally:
        for hooks, those in zip(hooked, kept, strict=True):
            hooks.update(those)


class RawGradients:
    """Records the gradients of parameters with hooks before the hooks change them. For other parameters ``.grad`` is right.

    A hook may also step an optimizer and then delete the gradient. After the backward pass such a gradient is gone.
    """

    def __init__(self, params: Sequence[Tensor], *, vanishing: bool) -> None:
        """Starts with nothing recorded.

        Args:
            params: P leaf tensors.
            vanishing: Whether to record gradients, too, that a hook may use and delete during the backward pass. It must be
                False where several processes average their gradients.
        """
        self._params, self._vanishing = params, vanishing
        self._found: dict[int, Tensor] = {}
        self._held = HeldError()

    def noting(self, backward: Callable[[], None]) -> Callable[[], None]:
        """Returns a function that runs ``backward`` and records gradients while it runs."""

        def noted() -> None:
            with self._listening():
                backward()

        return noted

    def put_into(self, total: Grads) -> Grads:
        """Returns the gradients of P parameters as they were before hooks changed or deleted them.

        Args:
            total: The P gradients after the backward pass.

        Raises:
            Exception: A hook of this class failed; the backward pass itself was not disturbed.
        """
        self._held.check()
        return [self._chosen(index, gradient) for index, gradient in enumerate(total)]

    def _chosen(self, index: int, gradient: Tensor | None) -> Tensor | None:
        noted = self._found.get(index)
        if noted is None or gradient is None or gradient.is_sparse or self._params[index]._backward_hooks:
            return gradient if noted is None else noted
        # The backward pass may have set the gradient to zero. ``where`` decides on the device, without waiting for it.
        return torch.where((gradient == 0).all(), noted.to(gradient), gradient)

    def forget(self, indices: Iterable[int]) -> None:
        """Drops what was recorded for some parameters, because the training deleted their gradients.

        Args:
            indices: Their positions among the parameters.
        """
        for index in indices:
            self._found.pop(index, None)

    def __len__(self) -> int:
        return len(self._found)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        handles: list[Any] = []
        # One such hook may step an optimizer of all parameters.
        stepping = self._vanishing and any(param._post_accumulate_grad_hooks for param in self._params)
        for index, param in enumerate(self._params):
            hooks = param._backward_hooks
            if hooks or stepping:
                others = dict(hooks or {})
                if hooks:
                    hooks.clear()  # our hook must be called first
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
