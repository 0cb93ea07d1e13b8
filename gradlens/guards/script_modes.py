"""Modes of the script (``FlopCounterMode``, ``TorchDispatchMode``, ``TorchFunctionMode``) do not see what gradlens computes.

Such a mode sees, counts or changes every operation in its ``with`` block. It must only see those of the training.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from torch._C import (
    _len_torch_dispatch_stack,
    _len_torch_function_stack,
    _pop_torch_dispatch_stack,
    _pop_torch_function_stack,
    _push_on_torch_dispatch_stack,
    _push_on_torch_function_stack,
)
from torch.utils._device import DeviceContext

# The modes of dispatch and of functions, each from the outermost to the innermost.
Modes = tuple[list[Any], list[Any]]


class _Here(threading.local):
    """The modes that are set aside in this thread; None if none were."""

    modes: Modes | None = None


_here = _Here()


def unseen(action: Callable[..., None], *args: Any) -> None:
    """Calls a function of gradlens inside the script's own code. The script's modes do not see it.

    Args:
        action: The function.
        args: Its arguments.
    """
    if (not _len_torch_dispatch_stack() and not _len_torch_function_stack()) or _here.modes is not None:
        action(*args)
        return
    _here.modes = _take()
    try:
        action(*args)
    finally:
        modes, _here.modes = _here.modes, None
        _put(modes)


def seen(action: Callable[[], None]) -> None:
    """Calls a function of the script inside ``unseen``: its modes are in effect again."""
    modes = _here.modes
    if modes is None:
        action()
        return
    _here.modes = None
    _put(modes)
    try:
        action()
    finally:
        _here.modes = _take()


def _take() -> Modes:
    """Takes the modes off. The default device stays, because parts of the model may run again (checkpointing)."""
    operations, functions = _all_operations(), _all_functions()
    for mode in functions:
        if isinstance(mode, DeviceContext):
            _push_on_torch_function_stack(mode)
    return operations, functions


def _put(modes: Modes) -> None:
    _all_functions()
    for mode in modes[1]:
        _push_on_torch_function_stack(mode)
    for mode in modes[0]:
        _push_on_torch_dispatch_stack(mode)


def _all_functions() -> list[Any]:
    return [_pop_torch_function_stack() for _ in range(_len_torch_function_stack())][::-1]


def _all_operations() -> list[Any]:
    found: list[Any] = []
    while _len_torch_dispatch_stack():
        mode = _pop_torch_dispatch_stack(None)
        if getattr(mode, "_mode_key", None) is not None:  # torch's own (fake tensors): below all others
            _push_on_torch_dispatch_stack(mode)
            break
        found.append(mode)
    return found[::-1]
