"""A small training with something of the script's own between two layers."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens import ClassGroups, Lens

GROUPS = ClassGroups({"head": [0, 1], "tail": [2, 3]}, num_classes=4)


def train(
    make: Callable[[], Callable[[Tensor], Tensor]], measured: bool, **options: Any
) -> tuple[list[Tensor], Any, list[str]]:
    """Trains with what ``make`` returns between the layers; returns weights, the last measurement, and what was said."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    between = make()
    first, second = nn.Linear(6, 8), nn.Linear(8, 4)
    model = nn.ModuleList([first, second])
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    said: list[str] = []
    lens = Lens(model, GROUPS, optimizer=optimizer, every=1, announce=said.append, **options) if measured else None
    last = None
    for _ in range(5):
        x, y = torch.randn(16, 6), torch.randint(0, 4, (16,))
        logits = second(between(first(x)))
        loss = F.cross_entropy(logits, y)
        optimizer.zero_grad()
        loss.backward() if lens is None else lens.backward(loss, y, outputs=logits)
        optimizer.step()
    if lens is not None:
        last = lens.last
        lens.close()
    return [p.detach().clone() for p in model.parameters()], last, said


def function(backward: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
    """An autograd function that hands its input on, and has a backward of its own."""

    class Own(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(torch.ones_like(x))
            ctx.calls = 0
            return x.clone()

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Tensor:
            return backward(ctx, g)

    return Own.apply
