"""A small training whose whole state can be compared bit by bit, with and without a lens."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens import Lens
from tests.engines.zoo import CLASSES, GROUPS, ZOO
from tests.lens.oracle import gradient

Backward = Callable[[Tensor, Tensor], None]


def mlp(seed: int = 0, width: int = 7) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, width), nn.Tanh(), nn.Linear(width, CLASSES))


def batches(steps: int, rows: int = 12, seed: int = 1) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(rows, 5, generator=generator), torch.randperm(rows, generator=generator) % CLASSES)
        for _ in range(steps)
    ]


def loss_of(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(model(x), y)


def state(model: nn.Module, *optimizers: torch.optim.Optimizer) -> dict[str, Any]:
    """Everything that training without a lens would have left behind."""
    return {
        "model": dict(model.state_dict()),
        "grad": {n: p.grad for n, p in model.named_parameters()},
        "optimizer": [optimizer.state_dict() for optimizer in optimizers],
        "modes": [module.training for module in model.modules()],
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002
        "python": random.getstate(),
    }


def hooks(model: nn.Module) -> int:
    """The number of hooks on modules and parameters."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    on_modules = sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)
    on_params = sum(
        len(getattr(p, kind) or ())
        for p in model.parameters()
        for kind in ("_backward_hooks", "_post_accumulate_grad_hooks")
    )
    return on_modules + on_params


def train_case(
    name: str, steps: int = 3, make: Callable[..., Lens] | None = None
) -> tuple[dict[str, Any], Lens | None]:
    """Trains a case of the zoo for some steps, clipping its gradient."""
    case = ZOO[name]
    model, inputs, labels = case.build()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    lens = None if make is None else make(model, GROUPS, optimizer=optimizer)
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    for _ in range(steps):
        optimizer.zero_grad()
        loss = case.loss(model(*inputs), labels).mean()
        loss.backward() if lens is None else lens.backward(loss, labels)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
    if lens is not None:
        lens.close()
        assert hooks(model) == 0
        assert not optimizer._optimizer_step_pre_hooks
        assert not optimizer._optimizer_step_post_hooks
    return state(model, optimizer), lens


def accumulated(model: nn.Module, micro: list[tuple[Tensor, Tensor]], classes: Any) -> list[Tensor | None]:
    """The float64 gradient of some classes' part of the mean loss over a step's micro-batches, each of which counts a third."""

    def scalar(twin: nn.Module) -> Tensor:
        parts = [
            (F.cross_entropy(twin(x.double()), y, reduction="none") * torch.isin(y, torch.tensor(list(classes)))).sum()
            / (3 * len(y))
            for x, y in micro
        ]
        return torch.stack(parts).sum()

    return gradient(model, scalar)
