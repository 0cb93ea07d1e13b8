"""Python runs this before a program, because its folder is on PYTHONPATH; what it does waits for the program's ``import torch``.

The same in the plain and in the tracked process: seeds the generators, and notes what each optimizer step left. Environment:
WITNESS_OUT is the folder of the notes; WITNESS_CPU=1 lets ``.cuda()`` do nothing, for programs that cannot
run without a GPU; WITNESS_STEPS is after how many steps the program gets the signal of Ctrl-C; WITNESS_GROUPS lets the brute
force run as well. A download's checksum is not looked at, because the files are small ones of one's own.
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
    """Finds a module with the ordinary finders and calls an action once it is loaded."""

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
