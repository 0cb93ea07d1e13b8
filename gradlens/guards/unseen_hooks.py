"""Installs gradlens' module hooks, and hides them from torch functions that copy, save, trace or compile a model.

A training may do any of these in a measured step, while the hooks are on the model.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

from torch import nn

from gradlens.guards.module_hook import InstalledHook, StepHook, away, listening

# The functions of torch that read the hooks of a model: module and name. Names that a version of torch does not have are
# skipped. ``torch.jit.trace`` itself is not wrapped: it names its values after the variables of its caller. Its own check
# calls the model again, so ``_check_trace`` is wrapped.
READERS = (
    ("torch.jit._recursive", "create_script_module"),
    ("torch.jit._trace", "_check_trace"),
    ("torch.fx._symbolic_trace", "Tracer.trace"),
    ("torch.export", "export"),
    ("torch.export", "draft_export"),
    ("torch.ao.quantization.quantize", "swap_module"),
    ("torch.ao.quantization.fuse_modules", "_fuse_modules"),
)
KINDS = ("_forward_hooks", "_forward_pre_hooks")

_done = False


def listen(
    module: nn.Module, hook: StepHook, *, before: bool = False, first: bool = False, with_kwargs: bool = False
) -> InstalledHook:
    """Installs a hook of gradlens on a module. Returns an object whose ``remove`` takes it off.

    Args:
        module: The module.
        hook: The hook.
        before: Whether the hook is called before the module; if not, after it.
        first: Whether the hook is called before the hooks that the module has.
        with_kwargs: Whether the hook is given the keyword arguments, too.
    """
    _hide()
    return InstalledHook(module, hook, before=before, first=first, with_kwargs=with_kwargs)


def _hide() -> None:
    """Wraps torch's functions so that they do not see our hooks. The first call does it, for the whole process.

    While no hook of ours is installed, the wrapped functions do what they always do.
    """
    global _done
    if _done:
        return
    _done = True
    for home, path in READERS:
        *parts, name = path.split(".")
        try:
            owner: Any = importlib.import_module(home)
            for part in parts:
                owner = getattr(owner, part)
        except (ImportError, AttributeError):
            continue
        ordinary = getattr(owner, name, None)
        if ordinary is not None:
            setattr(owner, name, _without_hooks(ordinary))
    nn.Module.__reduce_ex__ = _reduced_without_hooks()  # type: ignore[method-assign]


def _without_hooks(ordinary: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(ordinary)
    def unheard(*args: Any, **kwargs: Any) -> Any:
        if not listening():
            return ordinary(*args, **kwargs)
        with away():
            return ordinary(*args, **kwargs)

    return unheard


def _reduced_without_hooks() -> Callable[..., Any]:
    """Returns a new ``__reduce_ex__`` for modules: ``copy`` and ``pickle`` read a module with it."""

    def reduce(self: nn.Module, protocol: Any) -> Any:
        reduced = super(nn.Module, self).__reduce_ex__(protocol)
        if not listening() or not isinstance(reduced, tuple):
            return reduced
        make, args, *state = reduced
        return (make, tuple(map(_cleaned, args)), *map(_cleaned, state))

    return reduce


def _cleaned(part: Any) -> Any:
    """Returns the attributes of a module without our hooks. Returns any other value, or attributes without them, as it is."""
    if type(part) is not dict:
        return part
    kept = part
    for kind in KINDS:
        hooks = part.get(kind)
        if not hooks or not any(type(hook) is StepHook for hook in hooks.values()):
            continue
        ours = {key for key, hook in hooks.items() if type(hook) is StepHook}
        kept = dict(kept) if kept is part else kept
        kept[kind] = _less(hooks, ours)
        kept[f"{kind}_with_kwargs"] = _less(part.get(f"{kind}_with_kwargs", {}), ours)
    return kept


def _less(entries: Any, keys: set[int]) -> Any:
    return type(entries)((key, value) for key, value in entries.items() if key not in keys)
