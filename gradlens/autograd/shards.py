"""Sharded parameters (DTensors of fully_shard): each process holds its part, and sees whole ones only while it computes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor, nn


def is_sharded(tensor: Tensor) -> bool:
    """Says whether a tensor is a DTensor, without importing what defines it."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def local(tensor: Tensor) -> Tensor:
    """Returns this process's part of a tensor: the shard of a DTensor, else all of it."""
    return tensor.to_local() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]


def at_rest(modules: Iterable[nn.Module]) -> dict[int, nn.Parameter]:
    """Returns the sharded parameter of each whole one that modules compute with, by the id of the whole one."""
    found: dict[int, nn.Parameter] = {}
    for module in modules:
        for param in _fsdp_parameters(module):
            whole = getattr(param, "_unsharded_param", None)
            if whole is not None:
                found[id(whole)] = param.sharded_param
    return found


def parameters_at_rest(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yields the named parameters of a model, sharded ones as between its steps."""
    resting = at_rest(model.modules())
    for name, param in model.named_parameters():
        yield name, resting.get(id(param), param)


def why_not_repeatable(modules: Iterable[nn.Module], params: Iterable[nn.Parameter]) -> str | None:
    """Says why a backward pass of sharded modules must not be repeated now, or None.

    A repeated pass runs whatever the training's own pass runs at the shards. Gradients that are left unreduced add up in
    buffers of fully_shard, where ours would stay; hooks at the shards (an optimizer within the backward pass) would act.

    Args:
        modules: The modules of the model.
        params: Its sharded parameters.
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
