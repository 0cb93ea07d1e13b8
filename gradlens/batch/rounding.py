"""Says how precisely a forward pass computes: the rounding error of the least precise arithmetic in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from gradlens.autograd.graph import Node, inputs_of

# Relative spacing of TF32 numbers. A GPU may multiply float32 numbers in TF32; convolutions and recurrent networks do it by
# default.
TF32 = 2.0**-10
FLOAT32 = torch.finfo(torch.float32).eps


def rounding_of(model: nn.Module) -> float:
    """Returns the relative rounding error of the model's present precision: autocast's dtype, or TF32. 0 in full precision.

    Args:
        model: The model. Its first parameter says which device it uses.
    """
    kind = next((param.device.type for param in model.parameters()), "cpu")
    if torch.is_autocast_enabled(kind):
        return torch.finfo(torch.get_autocast_dtype(kind)).eps
    return TF32 if kind == "cuda" and multiplies_in_tf32(model) else 0.0


def rounding_of_graph(nodes: Iterable[Node]) -> float:
    """Returns the relative rounding error of the least precise tensors that were copied in a graph. 0 in full precision.

    Autocast that a model turns on inside its forward pass has ended when the model returns. Its copies of parameters and
    activations, to another precision and back, are in the graph.

    Args:
        nodes: Nodes of the autograd graph.
    """
    dtypes: set[torch.dtype] = set()
    for node in nodes:
        if type(node).__name__ == "ToCopyBackward0":
            edges = [
                (node, 0),
                *inputs_of(node),
            ]  # what was copied may come from compiled code, which hides its own copies
            dtypes |= {each._input_metadata[output].dtype for each, output in edges}
    dtypes = {dtype for dtype in dtypes if dtype.is_floating_point}
    return max((eps for dtype in dtypes if (eps := torch.finfo(dtype).eps) > FLOAT32), default=0.0)


def multiplies_in_tf32(model: nn.Module) -> bool:
    """Says whether a GPU may compute float32 products of the model in TF32."""
    # `allow_tf32` cannot be used: reading it raises an error once a script has set precisions by the newer names.
    if torch.backends.cuda.matmul.fp32_precision == "tf32":
        return True
    cudnn: Any = torch.backends.cudnn
    return any(
        (cudnn.conv.fp32_precision == "tf32" and isinstance(module, _ConvNd))
        or (cudnn.rnn.fp32_precision == "tf32" and isinstance(module, nn.RNNBase))
        for module in model.modules()
    )
