"""Batch normalisation over the batches of all processes, as people write it for devices that torch's SyncBatchNorm refuses."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn


class AddUp(torch.autograd.Function):
    """The sum over all processes; so is its gradient."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        total = grad.clone()
        dist.all_reduce(total)
        return total


class SynchronisedNorm(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features, dtype=torch.float64))
        self.bias = nn.Parameter(torch.zeros(features, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        count = torch.full((1,), float(len(x)), dtype=x.dtype)
        if dist.is_initialized():
            dist.all_reduce(count)
            add_up = AddUp.apply
        else:
            add_up = lambda value: value  # noqa: E731
        mean = add_up(x.sum(0)) / count
        variance = add_up((x - mean).square().sum(0)) / count
        return (x - mean) * torch.rsqrt(variance + 1e-5) * self.weight + self.bias


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 9).double(), SynchronisedNorm(9), nn.ReLU(), nn.Linear(9, 5).double())
