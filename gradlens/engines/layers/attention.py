"""MultiheadAttention: its forward pass is run again on the rows of a group, and differentiated.

It never mixes the samples of a batch. But its projections run inside one function of torch, where no hook can be called.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gradlens.batch.selection import Selection

_SIGNATURE = inspect.signature(nn.MultiheadAttention.forward)
# Arguments whose first dimension counts the samples.
_ROW_ARGUMENTS = ("query", "key", "value", "key_padding_mask")


def covers(module: nn.Module) -> bool:
    """Says whether the module computes what nn.MultiheadAttention computes."""
    if not isinstance(module, nn.MultiheadAttention):  # first, because the class of a ScriptModule has no ``forward``
        return False
    return type(module).forward is nn.MultiheadAttention.forward and "forward" not in vars(module)


def refusal(module: nn.MultiheadAttention) -> str | None:
    """Returns why this attention layer cannot be run again on some rows, or None if it can."""
    if module.training and module.dropout > 0:
        return f"attention dropout ({module.dropout}) draws random numbers for the whole batch"
    return None


def bind(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arguments of a call by name, with the default values filled in."""
    bound = _SIGNATURE.bind(module, *args, **kwargs)
    bound.apply_defaults()
    return {name: value for name, value in bound.arguments.items() if name != "self"}


def owned(module: nn.Module) -> dict[str, nn.Parameter]:
    """Returns the parameters of the layer by name, including those of its output projection."""
    return dict(module.named_parameters())


def gradients(
    module: nn.MultiheadAttention,
    arguments: Mapping[str, Any],
    selection: Selection,
    grads: Tensor,
    params: Sequence[nn.Parameter],
) -> list[Tensor | None]:
    """Returns the gradients of ``params`` that come from some rows of one call; None for an unused parameter.

    Args:
        module: The layer.
        arguments: The arguments of its call on the whole batch.
        selection: The n rows.
        grads: [n, T, E] gradients of the layer's output at these rows.
        params: Parameters of the layer.
    """
    taken: dict[int, Tensor] = {}
    few = dict(arguments)
    for name in _ROW_ARGUMENTS:
        value = arguments[name]
        if value is not None:
            # If query, key and value are one tensor, they stay one: the layer then projects it in one product.
            few[name] = taken.setdefault(id(value), selection.take(value.detach()))
    mask = arguments["attn_mask"]
    if mask is not None and mask.ndim == 3:  # [B * heads, T, S]
        few["attn_mask"] = selection.take(mask.detach().unflatten(0, (-1, module.num_heads))).flatten(0, 1)
    with torch.enable_grad():
        output = nn.MultiheadAttention.forward(module, **few)[0]
        return list(torch.autograd.grad(output, list(params), grads.to(output.dtype), allow_unused=True))
