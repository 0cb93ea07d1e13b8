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
        self._modules = modules_of(model)
        self._states = [_state(module) for module in self._modules]

    def holds(self, model: nn.Module) -> bool:
        """Says whether nothing has changed since then."""
        modules = modules_of(model)
        return _same(modules, self._modules) and all(
            _same(_state(module), state) for module, state in zip(modules, self._states, strict=True)
        )


def _state(module: nn.Module) -> list[Any]:
    attributes, kind = vars(module), type(module)
    params = module._parameters
    found = [kind, *[getattr(kind, name, None) for name in METHODS], *params]
    for param in params.values():
        found += (param, None if param is None else param.dtype)
    for name, value in attributes.items():
        found += (name, value if name in OF_MODULES or value.__class__ in SETTINGS else value.__class__)
    return found


def _same(now: list[Any], before: list[Any]) -> bool:
    return len(now) == len(before) and all(map(is_, now, before))
