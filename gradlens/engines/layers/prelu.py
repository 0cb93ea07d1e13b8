"""PReLU: the gradient of its slope is output gradient times input, where the input is not positive."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradlens.engines.layers.kind import LayerKind, total


def _gradients(module: nn.PReLU, inputs: Tensor, grads: Tensor, each: bool) -> dict[str, Tensor]:
    product = torch.where(inputs > 0, 0, grads * inputs)
    if module.num_parameters > 1:  # one slope for each channel
        return {"weight": total(product, (1,), each)}
    return {"weight": total(product, (), each).unsqueeze(-1)}


def _dims(module: nn.PReLU) -> tuple[int, int | None]:
    return (1 if module.num_parameters == 1 else 2), None


KINDS = (LayerKind(module=nn.PReLU, gradients=_gradients, dims=_dims),)
