"""The split engine's rules for parameters that forward code uses outside any layer.

Examples are class tokens, position embeddings and layer scales. Where such a use is an addition, a multiplication or an
expansion, the gradient of some rows follows from the gradient of its output.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gradlens.batch.selection import Selection
from gradlens.engines.audit import DirectUse

# Takes the node, the position of the parameter among its inputs, the n rows, and the output gradients [n, ...] of these
# rows. Returns the parameter's gradient in the broadcast shape [n, ...].
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
    """Returns why the gradient of single samples cannot be computed for this use, or None if it can.

    Args:
        use: The use of a parameter.
        rows: Number of samples B.
    """
    name = use.node.name()
    if name not in RULES:
        return f"is used by {name}, outside the layers that split covers"
    shape = tuple(use.node._input_metadata[0].shape)
    if len(shape) == 0 or shape[0] != rows or use.param.is_complex():
        return f"is used by {name} on {list(shape)}, whose first dimension does not count the {rows} samples"
    if use.param.ndim == len(shape) and use.param.shape[0] != 1:
        return f"is used by {name} and has other values for each row"
    return None


def gradient(use: DirectUse, selection: Selection, grads: Tensor) -> Tensor:
    """Returns the gradient of the parameter that comes from some rows, in the parameter's shape.

    Args:
        use: The use of the parameter.
        selection: The rows.
        grads: [B, ...] gradient of the use's output.
    """
    dtype = torch.promote_types(use.param.dtype, torch.float32)
    rows = RULES[use.node.name()](use.node, use.position, selection, selection.weighted(grads).to(dtype))
    return rows.sum_to_size(use.param.shape)
