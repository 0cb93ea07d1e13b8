"""How each kind of layer computes the gradient of its parameters from some rows of its input and output gradient.

The split engine uses this. One file holds the rule of one kind of layer.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from torch import nn

from gradlens.engines.layers.kind import LayerKind

__all__ = ["KINDS", "LayerKind", "kind_of"]

# What the files of this folder call KINDS. No two kinds have the same class, so their order does not matter.
KINDS: tuple[LayerKind, ...] = tuple(
    kind
    for file in pkgutil.iter_modules(__path__)
    for kind in getattr(import_module(f"{__name__}.{file.name}"), "KINDS", ())
)


def kind_of(module: nn.Module) -> LayerKind | None:
    """Returns the kind of layer whose rule holds for ``module``, or None if there is none.

    A subclass has the kind of its parent class only if it does not override the forward method.
    """
    if "forward" in vars(module):
        return None
    for kind in KINDS:
        if isinstance(module, kind.module) and all(
            getattr(type(module), name) is getattr(kind.module, name) for name in kind.methods
        ):
            return kind
    return None
