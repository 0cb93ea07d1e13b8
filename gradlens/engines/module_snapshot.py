"""ModuleSnapshot: shows whether the modules of a model are still what they were, so that a look at them need not be repeated."""

from __future__ import annotations

from operator import is_
from types import NoneType
from typing import Any

from torch import nn

from gradlens.guards.module_walk import modules_of

# Methods of a class that decide what its modules compute.
METHODS = ("forward", "_conv_forward")
# The attributes that every module has: the dicts of its parameters, hooks and so on.
OF_MODULES = frozenset(vars(nn.Module()))
SETTINGS = frozenset((bool, int, float, str, NoneType))


class ModuleSnapshot:
    """The modules of a model, with their classes, attributes and parameters at one moment. They are compared by identity.

    A module may keep an activation as an attribute (an attention map, a hidden state). The snapshot does not hold it, since the
    training would then need more memory: of such attributes only the type is compared.
    """

    def __init__(self, model: nn.Module) -> None:
        """Takes the snapshot.

        Args:
            model: The model.
        """
        self._found = _found(model)

    def holds(self, model: nn.Module) -> bool:
        """Says whether nothing has changed since then."""
        now = _found(model)
        return len(now) == len(self._found) and all(map(is_, now, self._found))


def _found(model: nn.Module) -> list[Any]:
    """Returns all that is compared, of all modules in one list: one comparison takes less time than one for each module."""
    found: list[Any] = []
    for module in modules_of(model):
        kind, params = type(module), module._parameters
        found += (module, kind, *params)
        for name in METHODS:
            found.append(getattr(kind, name, None))
        for param in params.values():
            found += (param, None if param is None else param.dtype)
        for name, value in module.__dict__.items():
            found += (name, value if name in OF_MODULES or value.__class__ in SETTINGS else value.__class__)
    return found
