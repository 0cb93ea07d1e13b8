"""LossModules: watches the modules of the script that take labels as an argument, as the losses of most libraries do."""

from __future__ import annotations

import gc
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.jit import ScriptModule

from gradlens.batch.anchors import tensors_in
from gradlens.guards.module_hook import InstalledHook, StepHook
from gradlens.guards.unseen_hooks import listen

# Names of parameters that hold labels, and words in names of parameters that hold something else beside them.
LABELS = re.compile(r"^(y|gt|gold|levels|y_.*|.*_y|.*(label|target|truth|true|classes).*)$")
OTHERS = re.compile(r"length|weight|ind(ex|ices)|mask|(^|_)ref|neg|smooth|num_|_num|size|pred|^ids?$|_ids?$")
# The latest calls that are remembered between two backward passes.
REMEMBERED = 32


@dataclass(frozen=True)
class ModuleCall:
    """A call of a module that was given labels.

    Attributes:
        module: The module.
        parameter: The name of the parameter that holds the labels.
        target: The tensor that it was given for that parameter.
        arguments: The differentiable tensors among its other arguments.
        results: The differentiable tensors that it has returned.
    """

    module: nn.Module
    parameter: str
    target: Tensor
    arguments: tuple[Tensor, ...]
    results: tuple[Tensor, ...]


class LossModules:
    """Remembers the calls of modules since the last backward pass."""

    def __init__(
        self, modules: Sequence[nn.Module], wanted: Callable[[], bool], fail: Callable[[Exception], None]
    ) -> None:
        """Begins to watch.

        Args:
            modules: The modules.
            wanted: Says whether calls are needed now.
            fail: Is given each error of gradlens, which must not reach the training's forward pass.
        """
        self._modules, self._wanted, self._fail = modules, wanted, fail
        self._calls: list[tuple[nn.Module, Any, Any, Any]] = []
        self._handles: list[InstalledHook] = []
        self.resume()

    def resume(self) -> None:
        """Starts to watch, unless it does already."""
        if not self._handles:
            for module in self._modules:
                self._handles.append(listen(module, StepHook(self._ran, self._fail), with_kwargs=True))

    def take(self) -> list[ModuleCall]:
        """Returns the calls that were given labels, in the order in which they ended, and forgets them."""
        calls, self._calls = self._calls, []
        return [call for each in calls if (call := _read(*each)) is not None]

    def stop(self) -> None:
        """Stops watching, and forgets everything."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._calls.clear()

    def _ran(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if torch.is_grad_enabled() and self._wanted():
            self._calls = [*self._calls[1 - REMEMBERED :], (module, args, kwargs, output)]


def modules_with_labels() -> list[nn.Module]:
    """Returns the modules in memory that take labels as an argument, without those inside a compiled module.

    A hook in a compiled module would make it compile again.
    """
    alive = [thing for thing in gc.get_objects() if issubclass(type(thing), nn.Module) and "_modules" in vars(thing)]
    compiled = {id(part) for each in alive if "_orig_mod" in vars(each)["_modules"] for part in each.modules()}
    return [
        each
        for each in alive
        if id(each) not in compiled and not isinstance(each, ScriptModule) and label_parameter(type(each)) is not None
    ]


def label_parameter(kind: type[nn.Module]) -> str | None:
    """Returns the name of the parameter of ``forward`` that holds labels; None if there is none, or more than one."""
    names = [name for name in _parameters(kind) if is_label_name(name)]
    return names[0] if len(names) == 1 else None


def is_label_name(name: str) -> bool:
    """Says whether a name is one that programs give to labels."""
    plain = name.lower().strip("_")
    return bool(LABELS.match(plain)) and not OTHERS.search(plain)


def _parameters(kind: type[nn.Module]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(kind.forward).parameters
    except (TypeError, ValueError):  # a forward that is no Python function
        return {}


def _read(module: nn.Module, args: Any, kwargs: Any, output: Any) -> ModuleCall | None:
    name = label_parameter(type(module))
    try:
        given = inspect.signature(type(module).forward).bind(module, *args, **kwargs).arguments
    except TypeError:  # ``forward`` of the instance is another one
        return None
    target = given.get(name or "")
    results = tuple(t for t in tensors_in(output) if t.requires_grad and t.is_floating_point())
    if name is None or not isinstance(target, Tensor) or target.requires_grad or not results:
        return None
    others = [t for key, value in given.items() if key != name and value is not module for t in tensors_in(value)]
    return ModuleCall(
        module, name, target, tuple(t for t in others if t.requires_grad and t.is_floating_point()), results
    )
