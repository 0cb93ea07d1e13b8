"""Pulls several cotangents back in one pass: in small networks of well-known operations, a pass costs more than its work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from math import prod
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from gradlens.autograd.graph import Node, edge_of, walk
from gradlens.autograd.parameter_hooks import silenced
from gradlens.guards.own_pass import retains_gradients

# With fewer cotangents, one pass for each takes less time.
FEWEST = 3
# In larger networks, the work takes nearly all of the time, and one pass for all would only need more memory.
NODES, ENTRIES = 100, 2**20
# Nodes whose rule for many cotangents is torch's own and exact. Functions of the script are never given more than one.
KNOWN = frozenset(
    f"{name}Backward0"
    for name in (
        "Addmm", "Mm", "Bmm", "T", "Transpose", "Permute", "View", "UnsafeView", "Expand", "Unsqueeze", "Squeeze", "Add",
        "Sub", "Mul", "Div", "Neg", "Relu", "Tanh", "Sigmoid", "Gelu", "Silu", "LeakyRelu", "Elu", "Mean", "Sum",
        "NativeLayerNorm", "NativeBatchNorm", "LogSoftmax", "Softmax",
    )
)  # fmt: skip


def can_go_together(outputs: Sequence[Tensor], params: Sequence[nn.Parameter], count: int) -> bool:
    """Says whether ``gradients_together`` may be used, and saves time.

    Args:
        outputs: Tensors of the graph.
        params: The parameters.
        count: V, the number of cotangents.
    """
    if count < FEWEST or retains_gradients() or any(type(param) is not nn.Parameter for param in params):
        return False
    entries = 0
    for number, node in enumerate(walk(map(edge_of, outputs), leaves=False)):
        if number == NODES or node.name() not in KNOWN:
            return False
        hooks_of, none = _unpack_hooks(node.__class__)
        if hooks_of is not None and hooks_of(node) != none:
            return False
        entries += sum(prod(each.shape) for each in node._input_metadata)
        if entries * count > ENTRIES:
            return False
    return True


@cache
def _unpack_hooks(kind: type) -> tuple[Callable[[Node], Any] | None, tuple[None, ...]]:
    """Returns a function that reads the hooks of the tensors that a node of this kind saves, and what it returns without hooks.

    The script's code is such a hook, as in activation checkpointing. That runs a part of the forward pass again, which in a pass
    of many cotangents may draw no random numbers. If nodes of this kind save nothing, there is None instead of the function.
    """
    names = [f"{name}.unpack_hook" for name in dir(kind) if name.startswith("_raw_saved_")]
    # The first name comes twice, because attrgetter returns a tuple for several names only.
    return (attrgetter(names[0], *names), (None, *[None for _ in names])) if names else (None, ())


def gradients_together(
    outputs: Sequence[Tensor], params: Sequence[nn.Parameter], seeds: Sequence[Tensor]
) -> list[Tensor | None]:
    """Returns for each parameter its V gradients [V, *parameter]; None where the outputs do not depend on it.

    Like ``autograd.pull_back.gradients``, it leaves ``.grad`` as it is, and calls no hooks.

    Args:
        outputs: Tensors of the graph.
        params: The parameters.
        seeds: For each output V cotangents, [V, *output].
    """
    with silenced(params):
        return list(
            torch.autograd.grad(outputs, params, seeds, retain_graph=True, allow_unused=True, is_grads_batched=True)
        )
