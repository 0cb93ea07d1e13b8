"""One pull-back: gradients at the measured parameters of tensors of the graph, which stays in place."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gradlens.autograd.grads import Grads
from gradlens.autograd.parameter_hooks import silenced
from gradlens.autograd.shards import is_sharded


def gradients(outputs: Sequence[Tensor], params: Sequence[nn.Parameter], seeds: Sequence[Tensor | None]) -> Grads:
    """Returns d(sum of <output, seed>) / d(parameter), and leaves ``.grad`` and hooks on parameters as they are.

    Args:
        outputs: Tensors of the graph.
        params: The parameters.
        seeds: One cotangent for each output; None for a scalar.
    """
    with silenced(params):
        if any(is_sharded(param) for param in params):
            return _of_shards(outputs, params, seeds)
        return list(torch.autograd.grad(outputs, params, seeds, retain_graph=True, allow_unused=True))


def _of_shards(outputs: Sequence[Tensor], params: Sequence[nn.Parameter], seeds: Sequence[Tensor | None]) -> Grads:
    """The graph ends at whole parameters that fully_shard lends to the modules; it leaves the shards of their gradients."""
    kept = [param.grad for param in params]
    try:
        for param in params:
            param.grad = None
        # The engine itself: Tensor.backward and torch.autograd.backward may be watched.
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
