"""Prepares a program that is compared. Python runs this file first, since its folder is on PYTHONPATH.

It acts once the program has imported torch, in the same way in the plain and in the tracked process: it seeds the generators, and
notes the result of each optimizer step. Checksums of downloads are not checked, because the files are made up. Environment
variables:

- WITNESS_OUT: folder for the notes.
- WITNESS_CPU=1: ``.cuda()`` does nothing, for programs that cannot run without a GPU.
- WITNESS_STEPS: number of steps after which the program gets the signal of Ctrl-C; 0 = never.
- WITNESS_GROUPS: class ids of each group as JSON, to run brute force too.
"""

from __future__ import annotations

import importlib.util
import os
import random
import sys
from collections.abc import Callable
from typing import Any

SEED = 0


class _After:
    """An import hook that calls an action after a module was loaded. The ordinary finders find the module."""

    def __init__(self, name: str, action: Callable[[Any], None]) -> None:
        self.name, self.action = name, action

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:  # noqa: ARG002
        if fullname != self.name or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        assert spec is not None
        loader: Any = spec.loader
        ordinary = loader.exec_module

        def load(module: Any) -> None:
            ordinary(module)
            self.action(module)

        loader.exec_module = load
        return spec


def _torchvision(integrity: Any) -> None:
    integrity.check_integrity = lambda path, *_: os.path.isfile(path)


def _torch(torch: Any) -> None:
    import numpy

    random.seed(SEED)
    numpy.random.seed(SEED)  # noqa: NPY002
    torch.manual_seed(SEED)
    if os.environ.get("WITNESS_GROUPS"):
        from witness_brute_force import watch_losses

        watch_losses(os.environ["WITNESS_OUT"], os.environ["WITNESS_GROUPS"])
    from witness_steps import watch

    watch(os.environ["WITNESS_OUT"], int(os.environ.get("WITNESS_STEPS", "0")))
    if os.environ.get("WITNESS_CPU"):
        torch.Tensor.cuda = lambda self, *_, **__: self
        torch.nn.Module.cuda = lambda self, *_, **__: self
        torch.cuda.FloatTensor = torch.FloatTensor


if "WITNESS_OUT" in os.environ:
    for module, action in (("torchvision.datasets.utils", _torchvision), ("torch", _torch)):
        sys.meta_path.insert(0, _After(module, action))
