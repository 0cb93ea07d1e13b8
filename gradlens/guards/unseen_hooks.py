"""What copies, saves, traces or compiles a model on a measured step does not meet the hooks that are on it for that step."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

from torch import nn

from gradlens.guards.module_hook import Listening, StepHook, away, listening

# What reads the hooks of a model: where it lies, and its name. Names that a version of torch lacks are passed over.
# Not ``torch.jit.trace``, which names its values after the variables of its caller; its own check calls the model again.
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
) -> Listening:
    """Installs a hook of ours on a module.

    Args:
        module: The module.
        hook: The hook.
        before: Whether it is called before the module, not after it.
        first: Whether it is called before the hooks that are there.
        with_kwargs: Whether it is given the keyword arguments, too.
    """
    _hide()
    return Listening(module, hook, before=before, first=first, with_kwargs=with_kwargs)


def _hide() -> None:
    """Has torch overlook our hooks, once for the process. Where none is installed, its functions do what they always do."""
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
    """Returns ``__reduce_ex__`` of modules: what ``copy`` and ``pickle`` take of them."""

    def reduce(self: nn.Module, protocol: Any) -> Any:
        reduced = super(nn.Module, self).__reduce_ex__(protocol)
        if not listening() or not isinstance(reduced, tuple):
            return reduced
        make, args, *state = reduced
        return (make, tuple(map(_cleaned, args)), *map(_cleaned, state))

    return reduce


def _cleaned(part: Any) -> Any:
    """Returns the attributes of a module without hooks of ours; anything else, and those without any, as they are."""
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
