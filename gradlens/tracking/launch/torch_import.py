"""Runs a function inside the script's own ``import torch``, before the import returns."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def after_torch_import(action: Callable[[], None]) -> None:
    """Calls ``action`` as soon as torch is imported; at once if it is imported already.

    It would be easier to import torch here. But then environment variables that the script sets before its own import
    (OMP_NUM_THREADS, PYTORCH_CUDA_ALLOC_CONF) would come too late.
    """
    if "torch" in sys.modules:
        action()
    else:
        sys.meta_path.insert(0, _TorchFinder(action))


class _TorchFinder(MetaPathFinder):
    """Finds torch with the ordinary finders, and gives it a loader that calls the action."""

    def __init__(self, action: Callable[[], None]) -> None:
        self._action = action

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname != "torch" or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            sys.meta_path.insert(0, self)  # a script may add torch to its path and try again
            return None
        spec.loader = _TorchLoader(spec.loader, self._action)
        return spec


class _TorchLoader(Loader):
    """Loads torch with the ordinary loader, puts that loader into the module, and calls the action."""

    def __init__(self, ordinary: Any, action: Callable[[], None]) -> None:
        self._ordinary = ordinary
        self._action = action

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        created: ModuleType | None = self._ordinary.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._ordinary
        if module.__spec__ is not None:
            module.__spec__.loader = self._ordinary
        self._ordinary.exec_module(module)
        self._action()
