"""Activation checkpointing that allows one backward pass: gradlens' own passes leave everything for the training's pass.

Selective checkpointing: a backward pass takes activations out of a store. Own passes take them out of a copy.
``debug=True``: a layer that runs again is logged in a context that can be entered once. Own passes do not enter it.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.utils import checkpoint
from torch.utils._pytree import tree_map
from torch.utils.checkpoint import _CachedTorchDispatchMode, _detach_helper, _VersionWrapper

from gradlens.guards.own_pass import KEY, _running, in_own_pass
from gradlens.guards.patches import Listeners, Patch, listen


def keep() -> Callable[[], None]:
    """Gives gradlens' own passes copies of the stores from now on. Returns a function that ends this."""
    with ExitStack() as leave:
        leave.callback(listen(ENTER, None))
        leave.callback(listen(DEBUGGED, None))
        return leave.pop_all().close


def _entered(original: Callable[..., Any], listeners: Listeners[None]) -> Callable[..., Any]:  # noqa: ARG001
    @functools.wraps(original)
    def entered(self: Any) -> Any:
        kept = vars(self).get("_gradlens_store")
        if kept is not None:  # the store of the training, which an own pass replaced by a copy
            self.storage = kept
        if _running and torch._C._is_key_in_tls(KEY) and torch._C._get_obj_in_tls(KEY):
            self._gradlens_store = self.storage
            self.storage = {
                key: type(entries)((at, tree_map(_copied, entry)) for at, entry in entries.items())
                for key, entries in self.storage.items()
            }
        return original(self)

    return entered


def _copied(kept: Any) -> Any:
    """Returns a stored activation as a tensor of its own: autograd makes what a pass is given a part of that pass's graph."""
    if not isinstance(kept, _VersionWrapper) or not isinstance(kept.val, Tensor) or kept.val._version != kept.version:
        return kept
    found = copy.copy(kept)
    with torch.no_grad():
        found.val = _detach_helper(kept.val)  # type: ignore[no-untyped-call]
    found.version = found.val._version
    return found


def _debugged(original: Callable[..., Any], listeners: Listeners[None]) -> Callable[..., Any]:  # noqa: ARG001
    @functools.wraps(original)
    def contexts() -> Any:
        make, fail = original()

        def context_fn() -> Any:
            forward, again = make()
            return forward, _Entered(again)

        return context_fn, fail

    return contexts


class _Entered:
    """A context that own passes do not enter."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._inside: list[bool] = []

    def __enter__(self) -> Any:
        self._inside.append(not in_own_pass())
        return self._context.__enter__() if self._inside[-1] else None

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> Any:
        return self._context.__exit__(kind, value, trace) if self._inside.pop() else None


DEBUGGED: Patch[None] = Patch(checkpoint, "_get_debug_context_and_cb", _debugged)
ENTER: Patch[None] = Patch(_CachedTorchDispatchMode, "__enter__", _entered)
