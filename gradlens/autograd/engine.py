"""Calls torch's autograd engine for gradlens' own passes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gradlens.autograd.grads import Grads


def differentiate(outputs: Sequence[Tensor], inputs: Sequence[Tensor], seeds: Sequence[Tensor | None]) -> Grads:
    """Returns what ``torch.autograd.grad`` returns with ``retain_graph=True`` and ``allow_unused=True``.

    It calls the engine itself: the checks of ``torch.autograd.grad`` take as long as a pass through a small network, and a script
    may have replaced that function.

    Args:
        outputs: Tensors of the graph.
        inputs: Tensors of the graph, where the pass ends.
        seeds: One cotangent for each output, of its shape; None means 1.

    Returns:
        The gradient of the sum of <output, seed> at each input; None where the outputs do not depend on it.

    Raises:
        RuntimeError: A function failed, or an output or an input is not part of a graph.
    """
    given = tuple(torch.ones_like(o) if seed is None else seed for o, seed in zip(outputs, seeds, strict=True))
    run = torch.autograd.Variable._execution_engine.run_backward
    return list(run(tuple(outputs), given, True, False, tuple(inputs), allow_unreachable=True, accumulate_grad=False))
