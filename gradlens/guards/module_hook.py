"""StepHook: a hook that stays with the module on which it was installed, and is met by nothing but the module's own call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from torch import nn
from torch._C import _is_tracing


class StepHook:
    """A module hook for one step of this process.

    A training may copy its model at any moment (an exponential moving average), save it whole or compile it: see
    ``gradlens.guards.unseen_hooks``. Code that copies the attributes of a module by itself gets a method of the standard library
    in its place, which does nothing and needs no gradlens to be loaded.
    """

    def __init__(self, hook: Callable[..., None], fail: Callable[[Exception], None]) -> None:
        """Prepares.

        Args:
            hook: What is called.
            fail: Takes its errors, which must not reach the training's forward pass.
        """
        self._hook, self._fail = hook, fail

    def __call__(self, *args: Any) -> None:
        """Calls the hook, unless torch.jit.trace calls the module."""
        try:
            if not _is_tracing():
                self._hook(*args)
        except Exception as error:
            self._fail(error)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (nullcontext(), "__exit__")


class Listening:
    """A StepHook on a module, until it is removed."""

    def __init__(self, module: nn.Module, hook: StepHook, *, before: bool, first: bool, with_kwargs: bool) -> None:
        """Installs the hook.

        Args:
            module: The module.
            hook: The hook.
            before: Whether it is called before the module, not after it.
            first: Whether it is called before the hooks that are there.
            with_kwargs: Whether it is given the keyword arguments, too.
        """
        self._hook, self._first, self._with_kwargs = hook, first, with_kwargs
        kind = "_forward_pre_hooks" if before else "_forward_hooks"
        self._hooks, self._extra = getattr(module, kind), getattr(module, f"{kind}_with_kwargs")
        install = module.register_forward_pre_hook if before else module.register_forward_hook
        self._key = install(hook, prepend=first, with_kwargs=with_kwargs).id
        _installed[self._key] = self

    def remove(self) -> None:
        """Removes the hook."""
        self.hide()
        _installed.pop(self._key, None)

    def hide(self) -> bool:
        """Takes the hook off, and says whether it was there."""
        self._extra.pop(self._key, None)
        return self._hooks.pop(self._key, None) is not None

    def show(self) -> None:
        """Puts the hook back, unless it was removed."""
        if self._key not in _installed:
            return
        self._hooks[self._key] = self._hook
        if self._first:
            self._hooks.move_to_end(self._key, last=False)
        if self._with_kwargs:
            self._extra[self._key] = True


# All that are installed, by the ids that torch gives to hooks, in the order of installation.
_installed: dict[int, Listening] = {}


def listening() -> bool:
    """Says whether any hook of ours is on a module."""
    return bool(_installed)


@contextmanager
def away() -> Iterator[None]:
    """Takes our hooks off all modules for a time."""
    hidden = [each for each in list(_installed.values()) if each.hide()]
    try:
        yield
    finally:
        for each in hidden:
            each.show()
