"""Sharded parameters (the DTensors of fully_shard): each process keeps a part, and has the whole only while it computes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor, nn


def is_sharded(tensor: Tensor) -> bool:
    """Says whether a tensor is a DTensor. It does not import ``torch.distributed.tensor``."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def local(tensor: Tensor) -> Tensor:
    """Returns the part of a tensor that this process holds: its shard of a DTensor, or all of any other tensor."""
    return tensor.to_local() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]


def at_rest(modules: Iterable[nn.Module]) -> dict[int, nn.Parameter]:
    """Returns the sharded parameters of modules, by the ids of the whole parameters that the modules compute with."""
    found: dict[int, nn.Parameter] = {}
    for module in modules:
        for param in _fsdp_parameters(module):
            whole = getattr(param, "_unsharded_param", None)
            if whole is not None:
                found[id(whole)] = param.sharded_param
    return found


def parameters_at_rest(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yields the named parameters of a model. A parameter that is whole at this moment is replaced by its sharded one."""
    resting = at_rest(model.modules())
    for name, param in model.named_parameters():
        yield name, resting.get(id(param), param)


def why_not_repeatable(modules: Iterable[nn.Module], params: Iterable[nn.Parameter]) -> str | None:
    """Returns why a backward pass of sharded modules must not be repeated now, or None if it may.

    A repeated pass does to the shards what the training's own pass does. Without a reduction, fully_shard adds gradients up
    in its buffers, and ours would stay there. Hooks on the shards, such as an optimizer in the backward pass, would be called.

    Args:
        modules: The modules of the model.
        params: The sharded parameters of the model.
    """
    for group in (group for module in modules for group in _groups(module)):
        if not (group.reduce_grads and group.all_reduce_grads):
            return "it leaves gradients unreduced (set_requires_gradient_sync(False)); reduce in every backward pass to measure"
    if any(getattr(param, "_post_accumulate_grad_hooks", None) for param in params):
        return "its sharded parameters have hooks (register_post_accumulate_grad_hook), which measuring would run again"
    return None


def _groups(module: nn.Module) -> list[Any]:
    find: Any = getattr(module, "_get_fsdp_state", None)
    if not type(module).__name__.startswith("FSDP") or find is None:
        return []
    state = find()
    groups = getattr(state, "_fsdp_param_groups", None)
    if groups is None:
        groups = [getattr(state, "_fsdp_param_group", None)]
    return [group for group in groups if group is not None]


def _fsdp_parameters(module: nn.Module) -> Iterator[Any]:
    for group in _groups(module):
        yield from group.fsdp_params
