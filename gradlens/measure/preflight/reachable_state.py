"""ReachableState: saves the state that the script's own backward functions may change, and restores it."""

from __future__ import annotations

import dis
import functools
import random
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# At most this many objects are looked at. It limits the time; backward functions refer to fewer.
SEARCHED = 2000
# Tensors with at most this many elements are copied, because a function may write to them.
COPIED = 1 << 20
CONTAINERS = (list, dict, set, deque, bytearray)
# Containers with at most this many entries are looked at; longer ones are data.
LONGEST = 10_000
# State of these modules is not saved: libraries without state, and objects that other threads may use (locks, queues).
KNOWN = sys.stdlib_module_names | {"torch", "numpy", "gradlens", "einops"}


class ReachableState:
    """A copy of the generators, containers, attributes, variables and small tensors and arrays that functions refer to.

    Examples of such state: a random generator of the function's own, a counter, a table of running maxima. State that the
    functions reach in other ways (files, other processes, C++, iterators) is not seen.
    """

    def __init__(self, functions: Iterable[Any]) -> None:
        """Saves the state.

        Args:
            functions: Functions, and objects whose attributes are state (contexts of autograd functions).
        """
        self._undo: list[Callable[[], bool]] = []
        self._seen: dict[int, Any] = {}
        waiting = list(functions)
        while waiting and len(self._seen) < SEARCHED:
            thing = waiting.pop()
            if id(thing) not in self._seen:
                self._seen[id(thing)] = thing
                waiting += self._take(thing)

    def restore(self) -> bool:
        """Restores the state. Returns whether anything had changed."""
        changed = [undo() for undo in self._undo]
        return any(changed)

    def _take(self, thing: Any) -> Iterable[Any]:
        if isinstance(thing, torch.Generator):
            self._keep(thing.get_state, thing.set_state, torch.equal)
        elif isinstance(thing, np.random.Generator):
            generator = thing.bit_generator
            self._keep(lambda: generator.state, lambda state: setattr(generator, "state", state), _same_text)
        elif isinstance(thing, np.random.RandomState):
            self._keep(thing.get_state, thing.set_state, _same_text)
        elif isinstance(thing, random.Random):
            self._keep(thing.getstate, thing.setstate, lambda a, b: a == b)
        elif isinstance(thing, Tensor):
            if thing.numel() <= COPIED:
                self._undo.append(restorer(thing))
        elif isinstance(thing, np.ndarray):
            if thing.size <= COPIED and thing.flags.writeable:
                self._keep(thing.copy, lambda values: np.copyto(thing, values), _same_entries)
        elif isinstance(thing, CONTAINERS):
            return self._container(thing) if len(thing) <= LONGEST else []
        elif isinstance(thing, types.CellType):
            return self._cell(thing)
        elif isinstance(thing, types.MethodType):
            return [thing.__func__, thing.__self__]
        elif isinstance(thing, types.FunctionType):
            return self._function(thing)
        elif isinstance(thing, functools.partial):
            return [thing.func, *thing.args, *thing.keywords.values()]
        elif not isinstance(thing, types.ModuleType) and (hasattr(thing, "__dict__") or hasattr(thing, "__slots__")):
            return self._attributes(thing)
        return []

    def _keep(self, get: Callable[[], Any], put: Callable[[Any], Any], same: Callable[[Any, Any], bool]) -> None:
        before = get()

        def undo() -> bool:
            if same(get(), before):
                return False
            put(before)
            return True

        self._undo.append(undo)

    def _container(self, thing: Any) -> Iterable[Any]:
        before = thing.copy()
        inside = list(before.values()) if isinstance(before, dict) else list(before)

        def undo() -> bool:
            now = list(thing.items()) if isinstance(thing, dict) else list(thing)
            then = list(before.items()) if isinstance(before, dict) else list(before)
            if len(now) == len(then) and all(_identical(a, b) for a, b in zip(now, then, strict=True)):
                return False
            thing.clear()
            (thing.update if isinstance(thing, dict | set) else thing.extend)(before)
            return True

        self._undo.append(undo)
        return inside

    def _cell(self, cell: types.CellType) -> Iterable[Any]:
        try:
            before = cell.cell_contents
        except ValueError:  # empty
            return []
        self._keep(lambda: cell.cell_contents, lambda value: setattr(cell, "cell_contents", value), _is)
        return [before]

    def _function(self, function: types.FunctionType) -> Iterable[Any]:
        if (function.__module__ or "").partition(".")[0] in KNOWN:
            return []
        variables = function.__globals__
        names = [name for name in dict.fromkeys(_names(function.__code__)) if name in variables]
        for name in names:
            self._keep(lambda n=name: variables.get(n), lambda value, n=name: variables.update({n: value}), _is)  # type: ignore[misc]
        return [*(variables[n] for n in names), *(function.__closure__ or ()), *(function.__defaults__ or ())]

    def _attributes(self, thing: Any) -> Iterable[Any]:
        kind = thing if isinstance(thing, type) else type(thing)
        if kind.__module__.partition(".")[0] in KNOWN and not isinstance(
            thing, torch.autograd.function.BackwardCFunction
        ):
            return []
        if isinstance(thing, nn.Module):  # ``TrainingState`` saves the model
            return []
        values = _values(thing)
        for name, value in values.items():
            if not name.startswith("__") and not isinstance(
                value, types.FunctionType | staticmethod | classmethod | property
            ):
                self._keep(lambda n=name: getattr(thing, n, None), lambda v, n=name: setattr(thing, n, v), _is)  # type: ignore[misc]
        return [getattr(v, "__func__", v) for name, v in values.items() if not name.startswith("__")]


def restorer(tensor: Tensor) -> Callable[[], bool]:
    """Returns a function that restores a tensor's values and version, and returns whether they had changed."""
    version, values = tensor._version, tensor.detach().clone()

    def undo() -> bool:
        if tensor._version == version and torch.equal(tensor, values):
            return False
        with torch.no_grad():
            tensor.detach().copy_(values)
        torch._C._autograd._unsafe_set_version_counter((tensor,), (version,))
        return True

    return undo


def _names(code: types.CodeType) -> Iterable[str]:
    yield from (each.argval for each in dis.get_instructions(code) if "GLOBAL" in each.opname)
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _names(inner)


def _values(thing: Any) -> dict[str, Any]:
    """Returns the attributes of an object or a class, those in ``__slots__`` as well."""
    found = dict(vars(thing)) if hasattr(thing, "__dict__") else {}
    if not isinstance(thing, type):
        descriptors = ((name, each) for kind in type(thing).__mro__ for name, each in vars(kind).items())
        slots = [name for name, each in descriptors if isinstance(each, types.MemberDescriptorType)]
        found |= {name: getattr(thing, name) for name in slots if hasattr(thing, name)}
    return found


def _is(a: Any, b: Any) -> bool:
    return a is b


def _identical(a: Any, b: Any) -> bool:
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_is, a, b))
    return a is b


def _same_entries(a: Any, b: Any) -> bool:
    return a.dtype == b.dtype and a.tobytes() == b.tobytes() if a.dtype != object else all(map(_is, a.flat, b.flat))


def _same_text(a: Any, b: Any) -> bool:
    return repr(a) == repr(b)
