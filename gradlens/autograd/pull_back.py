"""A pull-back: one own backward pass, from tensors of the graph to the measured parameters. The graph stays in place."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gradlens.autograd.engine import differentiate
from gradlens.autograd.grads import Grads
from gradlens.autograd.parameter_hooks import silenced
from gradlens.autograd.shards import is_sharded


def gradients(outputs: Sequence[Tensor], params: Sequence[nn.Parameter], seeds: Sequence[Tensor | None]) -> Grads:
    """Returns the gradient of the sum of <output, seed> for each parameter. It leaves ``.grad`` as it is, and calls no hooks.

    Args:
        outputs: Tensors of the graph.
        params: The parameters, whole or sharded.
        seeds: One cotangent for each output, of its shape; None for a scalar output means 1.

    Returns:
        One gradient for each parameter; None where the outputs do not depend on it.
    """
    with silenced(params):
        if any(is_sharded(param) for param in params):
            return _of_shards(outputs, params, seeds)
        return differentiate(outputs, params, seeds)


def _of_shards(outputs: Sequence[Tensor], params: Sequence[nn.Parameter], seeds: Sequence[Tensor | None]) -> Grads:
    """Does the same for sharded parameters.

    The graph ends at the whole parameters that fully_shard gives to the modules for a time. So torch runs a whole backward
    pass. It leaves the shards of the gradients in ``.grad``, where they are read; then the old ``.grad`` is put back.
    """
    kept = [param.grad for param in params]
    try:
        for param in params:
            param.grad = None
        # This calls the engine itself, because Tensor.backward and torch.autograd.backward may be patched.
        torch.autograd.Variable._execution_engine.run_backward(
            tuple(outputs),
            tuple(torch.ones_like(o) if seed is None else seed for o, seed in zip(outputs, seeds, strict=True)),
            True,
            False,
            (),
            allow_unreachable=True,
            accumulate_grad=True,
        )
        return [None if param.grad is None else param.grad for param in params]
    finally:
        for param, gradient in zip(params, kept, strict=True):
            param.grad = gradient
