"""The rule for convolutions in one to three dimensions, with groups, dilation, strides and padding modes."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens.engines.layers.kind import LayerKind, total, trains
from gradlens.guards.cudnn_settings import cudnn_settings


def _gradients(module: Any, inputs: Tensor, grads: Tensor, each: bool) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    if trains(module, "weight"):
        inputs, padding = _padded(module, inputs)
        if each:
            found["weight"] = _weight_each(module, inputs, grads, padding)
        else:
            found["weight"] = _weight(module, inputs, grads, padding, module.groups, module.weight.shape)
    if trains(module, "bias"):
        found["bias"] = total(grads, (1,), each)
    return found


def _padded(module: Any, inputs: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """Returns the inputs and the padding that is left to do: zeros, the same number on both sides.

    Other padding (another mode, or "same") is done here.
    """
    none = (0,) * len(module.kernel_size)
    if module.padding_mode != "zeros":
        return F.pad(inputs, module._reversed_padding_repeated_twice, mode=module.padding_mode), none
    if module.padding == "same":
        return F.pad(inputs, module._reversed_padding_repeated_twice), none
    return inputs, none if module.padding == "valid" else module.padding


def _weight(
    module: Any, inputs: Tensor, grads: Tensor, padding: tuple[int, ...], groups: int, shape: torch.Size
) -> Tensor:
    # The values of the weight do not matter here, only its shape. An expanded tensor has it, and uses no memory.
    weight = inputs.new_empty(1).expand(shape)
    spatial = len(module.kernel_size)
    weight_only = [False, True, False]
    arguments = (module.stride, padding, module.dilation, False, (0,) * spatial, groups, weight_only)
    backward = torch.ops.aten.convolution_backward.default
    if inputs.is_cuda and torch.backends.cudnn.benchmark:
        # The number of rows changes in every step. cuDNN would benchmark its algorithms for each number, which costs far more
        # than it saves.
        with cudnn_settings(benchmark=False):
            found: Tensor = backward(grads, inputs, weight, None, *arguments)[1]
    else:
        found = backward(grads, inputs, weight, None, *arguments)[1]
    return found


def _weight_each(module: Any, inputs: Tensor, grads: Tensor, padding: tuple[int, ...]) -> Tensor:
    """Returns [n, *weight], the weight gradient of each row: one convolution whose groups are the rows."""
    rows, shape = inputs.shape[0], module.weight.shape
    return _weight(
        module,
        inputs.reshape(1, rows * inputs.shape[1], *inputs.shape[2:]),
        grads.reshape(1, rows * grads.shape[1], *grads.shape[2:]),
        padding,
        rows * module.groups,
        torch.Size((rows * shape[0], *shape[1:])),
    ).reshape(rows, *shape)


def _kind(module: type[nn.Module], spatial: int) -> LayerKind:
    return LayerKind(
        module=module,
        gradients=_gradients,
        dims=lambda _: (spatial + 2, spatial + 2),
        methods=("forward", "_conv_forward"),
    )


KINDS = (_kind(nn.Conv1d, 1), _kind(nn.Conv2d, 2), _kind(nn.Conv3d, 3))
