"""Parameters that forward code uses by itself (class tokens, position embeddings, layer scales)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gradlens.batch.selection import Selection
from gradlens.engines.audit import DirectUse

# (node, number of the parameter among its inputs, rows, gradient rows [n, ...]) -> the parameter's gradient before the
# broadcast is undone.
Rule = Callable[[Any, int, Selection, Tensor], Tensor]


def _add(node: Any, position: int, selection: Selection, grads: Tensor) -> Tensor:  # noqa: ARG001
    return grads * node._saved_alpha if position == 1 else grads


def _multiply(node: Any, position: int, selection: Selection, grads: Tensor) -> Tensor:
    factor: Tensor = (node._saved_other if position == 0 else node._saved_self).detach()
    if factor.ndim == grads.ndim and factor.shape[0] != 1:
        factor = selection.take(factor)
    return grads * factor


def _expand(node: Any, position: int, selection: Selection, grads: Tensor) -> Tensor:  # noqa: ARG001
    return grads


RULES: dict[str, Rule] = {"AddBackward0": _add, "MulBackward0": _multiply, "ExpandBackward0": _expand}


def refusal(use: DirectUse, rows: int) -> str | None:
    """Says why the rows of this use cannot be told apart, or None.

    Args:
        use: The use.
        rows: Number of samples B.
    """
    name = use.node.name()
    if name not in RULES:
        return f"is used by {name}, outside the layers that split covers"
    shape = tuple(use.node._input_metadata[0].shape)
    if len(shape) == 0 or shape[0] != rows or use.param.is_complex():
        return f"is used by {name} on {list(shape)}, whose first dimension does not count the {rows} samples"
    if use.param.ndim == len(shape) and use.param.shape[0] != 1:
        return f"is used by {name} with values of its own for each row"
    return None


def gradient(use: DirectUse, selection: Selection, grads: Tensor) -> Tensor:
    """Returns the gradient of the parameter from some rows of the use's output gradient [B, ...]."""
    dtype = torch.promote_types(use.param.dtype, torch.float32)
    rows = RULES[use.node.name()](use.node, use.position, selection, selection.weighted(grads).to(dtype))
    return rows.sum_to_size(use.param.shape)
