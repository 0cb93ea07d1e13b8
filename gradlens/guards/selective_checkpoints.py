"""Selective activation checkpointing: gradlens' own passes leave the stored activations for the training's pass.

A backward pass takes activations out of the store. Own passes take them out of a copy.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import _CachedTorchDispatchMode

from gradlens.guards.own_pass import KEY, _running
from gradlens.guards.patches import Listeners, Patch, listen


def keep() -> Callable[[], None]:
    """Gives gradlens' own passes copies of the stores from now on. Returns a function that ends this."""
    return listen(ENTER, None)


def _entered(original: Callable[..., Any], listeners: Listeners[None]) -> Callable[..., Any]:  # noqa: ARG001
    @functools.wraps(original)
    def entered(self: Any) -> Any:
        kept = vars(self).get("_gradlens_store")
        if kept is not None:  # the store of the training, which an own pass replaced by a copy
            self.storage = kept
        if _running and torch._C._is_key_in_tls(KEY) and torch._C._get_obj_in_tls(KEY):
            self._gradlens_store = self.storage
            self.storage = {key: copy.copy(entries) for key, entries in self.storage.items()}
        return original(self)

    return entered


ENTER: Patch[None] = Patch(_CachedTorchDispatchMode, "__enter__", _entered)
