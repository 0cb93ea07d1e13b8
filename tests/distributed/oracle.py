"""Brute force in one process and float64: the gradient of each group's loss over the global batch, one backward pass each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

# One optimizer step: for each micro-batch, for each process, (inputs, labels).
Step = Sequence[Sequence[tuple[Tensor, Tensor]]]


def grams(
    model: nn.Module,
    steps: Sequence[Step],
    groups: Sequence[Sequence[int]],
    make_optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer],
    *,
    joined: bool = False,
    penalty: Callable[[nn.Module], Tensor] | None = None,
) -> tuple[list[np.ndarray], dict[str, Tensor]]:
    """Trains on the global batches and returns [K + 1, K + 1] inner products (``rest`` last) of each step, and the weights.

    Args:
        model: Float64, with the weights that the processes begin with.
        steps: The batches.
        groups: Class ids of each group.
        make_optimizer: Makes the optimizer.
        joined: Whether batch normalisation sees the batches of all processes as one.
        penalty: A term that each process adds to its loss.
    """
    params = [param for param in model.parameters() if param.requires_grad]
    optimizer = make_optimizer(params)
    found = []
    for step in steps:
        vectors = [[torch.zeros_like(param) for param in params] for _ in range(len(groups) + 1)]
        for micro in step:
            logits = _forward(model, micro, joined)
            for k in range(len(groups) + 1):
                loss = torch.zeros((), dtype=torch.float64)
                for output, (_, labels) in zip(logits, micro, strict=True):
                    each = F.cross_entropy(output, labels, reduction="none", ignore_index=-100)
                    count = int((labels >= 0).sum())
                    if k < len(groups):
                        loss = loss + each[torch.isin(labels, torch.tensor(groups[k]))].sum() / max(count, 1) / len(
                            micro
                        )
                    elif penalty is not None:
                        loss = loss + penalty(model) / len(micro)
                if loss.requires_grad:
                    gradients = torch.autograd.grad(loss, params, retain_graph=True, allow_unused=True)
                    for total, gradient in zip(vectors[k], gradients, strict=True):
                        if gradient is not None:
                            total += gradient
        flat = torch.stack([torch.cat([part.reshape(-1) for part in vector]) for vector in vectors])
        found.append((flat @ flat.T).numpy())
        for index, param in enumerate(params):
            param.grad = sum(vector[index] for vector in vectors)
        optimizer.step()
    return found, {name: value.detach().clone() for name, value in model.state_dict().items()}


def _forward(model: nn.Module, micro: Sequence[tuple[Tensor, Tensor]], joined: bool) -> list[Tensor]:
    if joined:
        together = model(torch.cat([inputs for inputs, _ in micro]))
        return list(together.split([len(inputs) for inputs, _ in micro]))
    return [model(inputs) for inputs, _ in micro]
