"""torch's own SyncBatchNorm on CPUs, for tests: its module, its autograd function and its collectives are torch's.

Torch has kernels of five of its operations for accelerators only. Here they are on CPUs, written from their definition, with
statistics over all dimensions but the second. Two checks that refuse CPUs are lifted: the module's list of devices, which names
that of a backend of one's own, gets the CPU, and DistributedDataParallel asks no longer. To be called in a process of its own:
all of this holds for the rest of it.
"""

from __future__ import annotations

import functools
from unittest import mock

from torch import Tensor, nn
from torch.library import Library
from torch.nn.parallel import DistributedDataParallel

Pair = tuple[Tensor, Tensor]

_library = Library("aten", "IMPL", "CPU")


def _rows(x: Tensor) -> Tensor:
    """[N, C] values of each channel."""
    return x.movedim(1, -1).reshape(-1, x.shape[1])


def _wide(per_channel: Tensor, x: Tensor) -> Tensor:
    return per_channel.reshape(1, -1, *(1,) * (x.ndim - 2))


def batch_norm_stats(x: Tensor, eps: float) -> Pair:
    rows = _rows(x)
    mean = rows.mean(0)
    return mean, (rows - mean).square().mean(0).add(eps).rsqrt()


def batch_norm_gather_stats_with_counts(
    x: Tensor,
    means: Tensor,
    invstds: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    momentum: float,
    eps: float,
    counts: Tensor,
) -> Pair:
    shares = (counts / counts.sum())[:, None]  # [processes, 1]
    mean = (shares * means).sum(0)
    variance = (shares * (invstds.pow(-2) - eps + (means - mean).square())).sum(0)
    if running_mean is not None and running_var is not None:
        running_mean.lerp_(mean, momentum)
        running_var.lerp_(variance * counts.sum() / (counts.sum() - 1), momentum)
    return mean, (variance + eps).rsqrt()


def batch_norm_elemt(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, invstd: Tensor, eps: float
) -> Tensor:
    normal = (x - _wide(mean, x)) * _wide(invstd, x)
    scaled = normal if weight is None else normal * _wide(weight, x)
    return scaled if bias is None else scaled + _wide(bias, x)


def batch_norm_backward_reduce(
    grad: Tensor,
    x: Tensor,
    mean: Tensor,
    invstd: Tensor,
    weight: Tensor | None,
    input_g: bool,
    weight_g: bool,
    bias_g: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    dy = _rows(grad)
    sum_dy, sum_dy_xmu = dy.sum(0), (dy * (_rows(x) - mean)).sum(0)
    return sum_dy, sum_dy_xmu, sum_dy_xmu * invstd, sum_dy.clone()


def batch_norm_backward_elemt(
    grad: Tensor,
    x: Tensor,
    mean: Tensor,
    invstd: Tensor,
    weight: Tensor | None,
    sum_dy: Tensor,
    sum_dy_xmu: Tensor,
    counts: Tensor,
) -> Tensor:
    total = counts.sum()
    slope = _wide(invstd.square() * sum_dy_xmu / total, x)
    inner = grad - _wide(sum_dy / total, x) - (x - _wide(mean, x)) * slope
    return inner * _wide(invstd if weight is None else invstd * weight, x)


OPERATIONS = (
    batch_norm_stats,
    batch_norm_gather_stats_with_counts,
    batch_norm_elemt,
    batch_norm_backward_reduce,
    batch_norm_backward_elemt,
)


def allow_on_cpu() -> None:
    """Registers the kernels, and lets the module and DistributedDataParallel take tensors on CPUs."""
    ordinary = nn.SyncBatchNorm.forward
    if hasattr(ordinary, "__wrapped__"):
        return
    for operation in OPERATIONS:
        _library.impl(operation.__name__, operation)

    @functools.wraps(ordinary)
    def forward(self: nn.SyncBatchNorm, x: Tensor) -> Tensor:
        with mock.patch("torch._C._get_privateuse1_backend_name", return_value="cpu"):
            return ordinary(self, x)

    nn.SyncBatchNorm.forward = forward
    DistributedDataParallel._passing_sync_batchnorm_handle = lambda *_: None


def converted(model: nn.Module) -> nn.Module:
    """Returns the model as a script for several GPUs prepares it."""
    allow_on_cpu()
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)
