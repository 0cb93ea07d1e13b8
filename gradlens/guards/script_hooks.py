"""Wraps the script's backward hooks when they are registered, so that gradlens' own passes do not call them.

This covers hooks on tensors and on nodes of the autograd graph. It covers backward hooks of modules, too: torch registers
them on nodes, with the function that is wrapped here. Hooks on parameters are left as they are, see
``gradlens.autograd.parameter_hooks``. Copies and pickles hold the script's hook itself, not the wrapper.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import _HookMixin
from torch.utils.hooks import BackwardHook

from gradlens.guards.deferred_error import HeldError
from gradlens.guards.own_pass import KEY, OwnPass, _running, note_retained
from gradlens.guards.patches import Listeners, Patch, listen
from gradlens.guards.selective_checkpoints import keep

# The modules of hooks that own passes need: torch's for sharded parameters, and those of the measurement.
NEEDED = ("torch.distributed.", "gradlens.")


class ScriptHookRecord:
    """What the script's hooks did in the training's backward passes, recorded while ``listening`` is True.

    Attributes:
        changing: Names of the hooks that returned another gradient, in the order of the calls.
        listening: Whether this is recorded.
        held: The first error of gradlens in a wrapper or in the registration of a hook.
    """

    def __init__(self) -> None:
        self.changing: dict[str, None] = {}
        self.listening = False
        self.held = HeldError()

    def check(self) -> None:
        """Raises the error that was kept, if there is one, and forgets it.

        Raises:
            Exception: The first error that was kept.
        """
        held, self.held = self.held, HeldError()
        held.check()

    def note(self, hook: Any, given: Any, result: Any) -> None:
        """Records the names of a hook if it returned another gradient than it was given."""
        if _differs(result, given):
            self.changing.update(dict.fromkeys(names_of(hook)))


taken = ScriptHookRecord()


class ScriptHook:
    """Wraps a hook of the script. It does nothing in gradlens' own passes, and otherwise behaves as the hook itself."""

    __slots__ = ("__weakref__", "hook")

    def __init__(self, hook: Callable[..., Any]) -> None:
        self.hook = hook

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the hook, except in an own pass."""
        # The same test as in_own_pass, written out: a function of ours could fail here, inside the training's pass.
        if _running and torch._C._is_key_in_tls(KEY) and torch._C._get_obj_in_tls(KEY):
            return None
        result = self.hook(*args, **kwargs)
        if taken.listening and result is not None and args:
            taken.held.run(taken.note, self.hook, args[0], result)
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self.hook, name)

    def __reduce__(self) -> tuple[Any, ...]:
        return operator.getitem, ((self.hook,), 0)


def of_script(hook: Any) -> Any:
    """Returns what is registered in place of a hook: its wrapper, or the hook itself if own passes need it."""
    return hook if type(hook) is ScriptHook or not callable(hook) or is_needed(hook) else ScriptHook(hook)


def is_needed(hook: Any) -> bool:
    """Says whether own passes need a hook."""
    home = _home(hook)
    if home == "torch.autograd.graph.":  # a function of torch that calls other hooks
        return any(callable(value) and _home(value).startswith(NEEDED) for value in _cells(hook))
    return home.startswith(NEEDED)


def names_of(hook: Any) -> list[str]:
    """Returns the names of a hook for messages: several where torch's function calls several hooks of the script."""
    inside = _cells(hook)
    of_module = next((value for value in inside if isinstance(value, BackwardHook)), None)
    if of_module is not None:
        kind = type(of_module.module).__name__
        return [f"{_name(each)} (on {kind})" for each in (*of_module.user_pre_hooks, *of_module.user_hooks)]
    if _home(hook) == "torch.autograd.graph.":
        return [_name(value) for value in inside if callable(value)]
    return [_name(hook)]


class NodeHooks(Exception):
    """Carries the hooks of a node of the graph as its argument: torch's dict, or None; see ``hooks_of``.

    It is raised twice for each node of each measured graph. It has no constructor of its own, which would double the time.
    """


def ask(*_: Any) -> None:
    """Is no real hook. Registering it raises ``NodeHooks``, which carries the hooks that the node has."""


def hooks_of(node: Any) -> list[Any]:
    """Returns the Python hooks of a node of the graph, and changes nothing.

    Args:
        node: The node. ``hide`` must be in effect.
    """
    found: list[Any] = []
    for hooks in _kept_by(node):
        found += hooks.values()
    return found


@contextmanager
def own_pass_over(nodes: Iterable[Any]) -> Iterator[None]:
    """Marks the ``with`` block as an own pass, over a graph that may have been made before ``hide`` was in effect.

    The script's hooks on these nodes are taken off inside, and put back after. Hooks of tensors (``Tensor.register_hook``)
    stay: torch does not show them.

    Args:
        nodes: The nodes of the graph.
    """
    show = hide()
    resting: list[tuple[dict[Any, Any], dict[Any, Any]]] = []
    try:
        for node in nodes:
            for hooks in _kept_by(node):
                needed = {key: hook for key, hook in hooks.items() if type(hook) is ScriptHook or is_needed(hook)}
                if len(needed) < len(hooks):
                    resting.append((hooks, dict(hooks)))
                    _fill(hooks, needed)
        with OwnPass():
            yield
    finally:
        for hooks, before in resting:
            _fill(hooks, before)
        show()


def _fill(hooks: dict[Any, Any], those: dict[Any, Any]) -> None:
    hooks.clear()  # the dict itself must stay: torch calls the hooks in it
    hooks.update(those)


def _kept_by(node: Any) -> list[dict[Any, Any]]:
    """Returns the dicts in which torch keeps the Python hooks of a node. ``hide`` must be in effect."""
    found = []
    for register in (node.register_prehook, node.register_hook):
        try:
            register(ask).remove()
        except NodeHooks as answer:
            if answer.args[0]:
                found.append(answer.args[0])
    return found


def hide() -> Callable[[], None]:
    """Wraps every hook that is registered from now on. Returns a function that ends this."""
    with ExitStack() as leave:
        leave.callback(keep())
        for patch in PATCHES:
            leave.callback(listen(patch, taken))
        return leave.pop_all().close


def _tensor_hook(original: Callable[..., Any], listeners: Listeners[ScriptHookRecord]) -> Callable[..., Any]:
    @functools.wraps(original)
    def register_hook(self: Tensor, hook: Any) -> Any:
        return original(self, hook if self.is_leaf or listeners.newest is None else _wrapped(hook))

    return register_hook


def _node_hook(original: Callable[..., Any], listeners: Listeners[ScriptHookRecord]) -> staticmethod[[Any, Any], Any]:
    @functools.wraps(original)
    def register(backward_hooks: Any, hook: Any) -> Any:
        if hook is ask:
            raise NodeHooks(backward_hooks)
        return original(backward_hooks, hook if listeners.newest is None else _wrapped(hook))

    return staticmethod(register)


def _retain_grad(original: Callable[..., Any], listeners: Listeners[ScriptHookRecord]) -> Callable[..., Any]:
    @functools.wraps(original)
    def retain_grad(self: Tensor) -> None:
        original(self)
        if listeners.newest is not None and not self.is_leaf:
            taken.held.run(note_retained, self)

    return retain_grad


PATCHES: tuple[Patch[ScriptHookRecord], ...] = (
    Patch(Tensor, "register_hook", _tensor_hook),
    Patch(Tensor, "retain_grad", _retain_grad),
    # This function registers a hook on any node, a C++ node as well.
    Patch(_HookMixin, "_register_hook", _node_hook),
)


def _wrapped(hook: Any) -> Any:
    try:
        return of_script(hook)
    except Exception as error:
        taken.held.hold(error)
        return hook


def _home(hook: Any) -> str:
    """Returns the name of the module that defines a hook's function, with a dot after it."""
    while isinstance(hook, functools.partial):
        hook = hook.func
    return f"{getattr(hook, '__module__', None) or type(hook).__module__}."


def _name(hook: Any) -> str:
    while isinstance(hook, functools.partial):
        hook = hook.func
    return str(getattr(hook, "__qualname__", None) or type(hook).__qualname__)


def _cells(hook: Any) -> list[Any]:
    return [cell.cell_contents for cell in getattr(hook, "__closure__", None) or ()]


def _differs(result: Any, given: Any) -> bool:
    if isinstance(result, tuple) and isinstance(given, tuple):
        return len(result) != len(given) or any(map(operator.is_not, result, given))
    return result is not given
