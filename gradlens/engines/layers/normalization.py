"""The rules for normalisation layers with scale and shift.

The gradient of the scale is the output gradient times the normalised input, summed. That of the shift is the output gradient,
summed.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gradlens.engines.layers.kind import LayerKind, total, trains


def _affine(
    module: nn.Module, normalised: Tensor | None, grads: Tensor, keep: tuple[int, ...], each: bool
) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    if normalised is not None:
        found["weight"] = total(grads * normalised, keep, each)
    if trains(module, "bias"):
        found["bias"] = total(grads, keep, each)
    return found


def _last_dims(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(range(-len(shape), 0))


def _layer_norm(module: nn.LayerNorm, inputs: Tensor, grads: Tensor, each: bool) -> dict[str, Tensor]:
    shape = module.normalized_shape
    normalised = F.layer_norm(inputs, shape, eps=module.eps) if trains(module, "weight") else None
    return _affine(module, normalised, grads, _last_dims(shape), each)


def _rms_norm(module: nn.RMSNorm, inputs: Tensor, grads: Tensor, each: bool) -> dict[str, Tensor]:
    shape = module.normalized_shape
    return _affine(module, F.rms_norm(inputs, shape, eps=module.eps), grads, _last_dims(shape), each)


def _group_norm(module: nn.GroupNorm, inputs: Tensor, grads: Tensor, each: bool) -> dict[str, Tensor]:
    normalised = F.group_norm(inputs, module.num_groups, eps=module.eps) if trains(module, "weight") else None
    return _affine(module, normalised, grads, (1,), each)


def _batch_norm(module: Any, inputs: Tensor, grads: Tensor, each: bool) -> dict[str, Tensor]:
    normalised = None
    if trains(module, "weight"):
        mean, var = module.running_mean.to(inputs.dtype), module.running_var.to(inputs.dtype)
        normalised = F.batch_norm(inputs, mean, var, eps=module.eps)
    return _affine(module, normalised, grads, (1,), each)


def _batch_norm_refusal(module: Any) -> str | None:
    if module.training or module.running_mean is None:
        return "train-mode BatchNorm mixes the samples of a batch"
    return None


def _rms_norm_refusal(module: nn.RMSNorm) -> str | None:
    if module.eps is None and module.weight is not None and module.weight.dtype in (torch.float16, torch.bfloat16):
        return f"its eps=None depends on the kernel for {module.weight.dtype}; give a number"
    return None


def _more_than_normalised(module: Any) -> tuple[int, int | None]:
    return len(module.normalized_shape) + 1, None


KINDS = (
    LayerKind(module=nn.LayerNorm, gradients=_layer_norm, dims=_more_than_normalised),
    LayerKind(module=nn.RMSNorm, gradients=_rms_norm, dims=_more_than_normalised, refusal=_rms_norm_refusal),
    LayerKind(module=nn.GroupNorm, gradients=_group_norm, dims=lambda _: (2, None)),
    LayerKind(module=_BatchNorm, gradients=_batch_norm, dims=lambda _: (2, None), refusal=_batch_norm_refusal),
)
