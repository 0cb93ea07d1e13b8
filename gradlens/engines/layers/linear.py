"""The rule for linear layers: the weight gradient is the product of output gradients and inputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradlens.engines.layers.kind import LayerKind, total, trains


def _gradients(module: nn.Linear, inputs: Tensor, grads: Tensor, each: bool) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    if trains(module, "weight"):
        if each:
            found["weight"] = torch.einsum("n...o,n...i->noi", grads, inputs)
        else:
            found["weight"] = grads.flatten(0, -2).T @ inputs.flatten(0, -2)  # [out, in]
    if trains(module, "bias"):
        found["bias"] = total(grads, (-1,), each)
    return found


KINDS = (LayerKind(module=nn.Linear, gradients=_gradients, dims=lambda _: (2, None)),)
