"""The rule for embeddings: the gradient of an index is the sum of the output gradients where it was looked up."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradlens.engines.layers.kind import LayerKind


def _gradients(module: nn.Embedding, inputs: Tensor, grads: Tensor, each: bool) -> dict[str, Tensor]:  # noqa: ARG001
    padding = -1 if module.padding_idx is None else module.padding_idx
    found = torch.ops.aten.embedding_dense_backward.default(grads, inputs, module.num_embeddings, padding, False)
    return {"weight": found}


def _refusal(module: nn.Embedding) -> str | None:
    if module.scale_grad_by_freq:
        return "scale_grad_by_freq divides by counts over the whole batch"
    if module.sparse:
        return "its gradient is sparse"
    return None


KINDS = (LayerKind(module=nn.Embedding, gradients=_gradients, dims=lambda _: (1, None), refusal=_refusal, each=False),)
