"""Hooks of gradlens on modules, for one measured step: copies of the module, saved files and traces do not have them.

``StepHook`` is the hook, ``InstalledHook`` keeps it on its module, and ``away`` takes all of them off for a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from torch import nn
from torch._C import _is_tracing
from torch.compiler import is_dynamo_compiling

from gradlens.guards.script_modes import unseen


class StepHook:
    """A module hook for one step of this process.

    A training may copy its model at any moment (an exponential moving average), save it whole or compile it;
    ``gradlens.guards.unseen_hooks`` hides the hook from all these. Some code copies the attributes of a module by itself.
    Its copy has a method of the standard library instead of the hook: it does nothing, and loads without gradlens.
    """

    def __init__(
        self, hook: Callable[..., None], fail: Callable[[Exception], None], *, in_compiled: bool = True
    ) -> None:
        """Keeps both functions.

        Args:
            hook: The function that is called.
            fail: Is given an error of ``hook``, which must not reach the training's forward pass.
            in_compiled: Whether the code that torch.compile makes of the module calls the hook. Inside of a model it must not:
                the code would be split in two there, and would draw other random numbers.
        """
        self._hook, self._fail, self._in_compiled = hook, fail, in_compiled

    def __call__(self, *args: Any) -> None:
        """Calls the function, except while ``torch.jit.trace`` calls the module."""
        if not self._in_compiled and is_dynamo_compiling():  # first, so that torch.compile makes nothing of this hook
            return
        try:
            if not _is_tracing():
                unseen(self._hook, *args)
        except Exception as error:
            self._fail(error)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (nullcontext(), "__exit__")


class InstalledHook:
    """A StepHook that is installed on a module; ``remove`` takes it off."""

    def __init__(self, module: nn.Module, hook: StepHook, *, before: bool, first: bool, with_kwargs: bool) -> None:
        """Installs the hook. For the arguments, see ``unseen_hooks.listen``."""
        self._hook, self._first, self._with_kwargs = hook, first, with_kwargs
        self._kind = "_forward_pre_hooks" if before else "_forward_hooks"
        self._hooks, self._extra = getattr(module, self._kind), getattr(module, f"{self._kind}_with_kwargs")
        install = module.register_forward_pre_hook if before else module.register_forward_hook
        self._key = install(hook, prepend=first, with_kwargs=with_kwargs).id
        _installed[self._key] = self

    def remove(self) -> None:
        """Removes the hook, until ``put_back``. It may be removed already."""
        if self._key in _installed:
            self.hide()
            _installed.pop(self._key, None)

    def fits(self, module: nn.Module) -> bool:
        """Says whether ``put_back`` would install the hook on this module."""
        return self._hooks is vars(module).get(self._kind)

    def put_back(self) -> None:
        """Installs a hook again that was removed."""
        _installed[self._key] = self
        self.show()

    def hide(self) -> bool:
        """Takes the hook off for a time. Returns whether it was on the module."""
        self._extra.pop(self._key, None)
        return self._hooks.pop(self._key, None) is not None

    def show(self) -> None:
        """Puts the hook back on, unless it was removed meanwhile."""
        if self._key not in _installed:
            return
        self._hooks[self._key] = self._hook
        if self._first:
            self._hooks.move_to_end(self._key, last=False)
        if self._with_kwargs:
            self._extra[self._key] = True


# All installed hooks, by the ids that torch gives to them, in the order of installation.
_installed: dict[int, InstalledHook] = {}


def listening() -> bool:
    """Says whether a hook of gradlens is installed on any module."""
    return bool(_installed)


@contextmanager
def away() -> Iterator[None]:
    """Takes the hooks of gradlens off all modules inside the ``with`` block."""
    hidden = [each for each in list(_installed.values()) if each.hide()]
    try:
        yield
    finally:
        for each in hidden:
            each.show()
