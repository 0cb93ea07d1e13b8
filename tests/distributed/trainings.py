"""Small trainings of one process of several, as people write them, with and without a lens."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from gradlens import ClassGroups, Lens

CLASSES = 5
GROUPS = ((0, 1, 2), (3, 4))
STEPS = 4


def groups() -> ClassGroups:
    return ClassGroups({"head": GROUPS[0], "tail": GROUPS[1]}, CLASSES)


def optimizer_of(params: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(params, lr=0.1, momentum=0.9)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, CLASSES)).double()


def normalised(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Linear(9, CLASSES)).double()


def batch(step: int, micro: int, rank: int, size: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1000 * step + 10 * micro + rank)
    return torch.randn(size, 6, generator=generator).double(), torch.randint(0, CLASSES, (size,), generator=generator)


def batches(
    steps: int = STEPS, micro: int = 1, sizes: tuple[int, ...] = (8, 8)
) -> list[list[list[tuple[Tensor, Tensor]]]]:
    return [[[batch(t, m, r, n) for r, n in enumerate(sizes)] for m in range(micro)] for t in range(steps)]


def train(
    wrap: Callable[[nn.Module], nn.Module],
    make: Callable[[], nn.Module],
    steps: Any,
    *,
    lens: bool,
    penalty: Callable[[nn.Module], Tensor] | None = None,
    by_hand: bool = False,
    unsynced: bool = True,
    inner: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Trains on this process's part of the batches; returns weights and, with a lens, measurements."""
    rank, size = dist.get_rank(), dist.get_world_size()
    plain = make()
    model = wrap(plain)
    optimizer = optimizer_of(model.parameters())
    watch = None
    if lens:
        watch = Lens(plain if inner else model, groups(), optimizer=optimizer, **({"every": 1} | options))
    measured = []
    for step in steps:
        optimizer.zero_grad()
        for number, parts in enumerate(step):
            inputs, labels = parts[rank]
            last = number == len(step) - 1
            plainly = last or not unsynced or not isinstance(model, DistributedDataParallel)
            with contextlib.nullcontext() if plainly else model.no_sync():
                loss = F.cross_entropy(model(inputs), labels)
                if penalty is not None:
                    loss = loss + penalty(model.module if isinstance(model, DistributedDataParallel) else model)
                if watch is None:
                    loss.backward()
                else:
                    watch.backward(loss, labels)
        if by_hand:
            for param in model.parameters():
                dist.all_reduce(param.grad)
                param.grad /= size
        optimizer.step()
        if watch is not None:
            measured.append(watch.last)
    if watch is not None:
        watch.close()
    state = {name: _whole(value).clone() for name, value in plain.state_dict().items()}
    return {"weights": state, "measured": measured}


def both(*arguments: Any, **named: Any) -> dict[str, Any]:
    """Trains without and with a lens; the weights must be the same to the last bit."""
    warnings.simplefilter("error")
    bare = train(*arguments, lens=False, **named)
    found = train(*arguments, lens=True, **named)
    for name, value in bare["weights"].items():
        assert torch.equal(found["weights"][name], value), f"{name} differs from the training without a lens"
    return found


def _whole(value: Tensor) -> Tensor:
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def shard(model: nn.Module) -> nn.Module:
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for layer in model:
        if isinstance(layer, nn.Linear):
            fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)
