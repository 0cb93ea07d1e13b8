"""ModuleSnapshot: shows whether the modules of a model are still what they were, so that a look at them need not be repeated."""

from __future__ import annotations

from operator import is_
from typing import Any

from torch import nn

# Methods of a class that decide what its modules compute.
METHODS = ("forward", "_conv_forward")


class ModuleSnapshot:
    """The modules of a model, with their classes, attributes and parameters at one moment. They are compared by identity."""

    def __init__(self, model: nn.Module) -> None:
        """Takes the snapshot.

        Args:
            model: The model.
        """
        self._modules = list(model.modules())
        self._states = [_state(module) for module in self._modules]

    def holds(self, model: nn.Module) -> bool:
        """Says whether nothing has changed since then."""
        modules = list(model.modules())
        return _same(modules, self._modules) and all(
            _same(_state(module), state) for module, state in zip(modules, self._states, strict=True)
        )


def _state(module: nn.Module) -> list[Any]:
    attributes, kind = vars(module), type(module)
    methods = [getattr(kind, name, None) for name in METHODS]
    return [kind, *methods, *attributes, *attributes.values(), *module._parameters, *module._parameters.values()]


def _same(now: list[Any], before: list[Any]) -> bool:
    return len(now) == len(before) and all(map(is_, now, before))
