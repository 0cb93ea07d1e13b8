"""How exactly a forward pass computes: the rounding of the least exact arithmetic in it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

# Spacing of TF32, in which GPUs may multiply float32: convolutions and recurrent networks do unless told otherwise.
TF32 = 2.0**-10


def rounding_of(model: nn.Module) -> float:
    """Returns the relative rounding of autocast's dtype or of TF32, whichever the model computes in now; 0 for neither.

    Args:
        model: The model; its first parameter tells the device.
    """
    kind = next((param.device.type for param in model.parameters()), "cpu")
    if torch.is_autocast_enabled(kind):
        return torch.finfo(torch.get_autocast_dtype(kind)).eps
    return TF32 if kind == "cuda" and multiplies_in_tf32(model) else 0.0


def multiplies_in_tf32(model: nn.Module) -> bool:
    """Says whether float32 products of the model may be made in TF32 on a GPU."""
    # Not `allow_tf32`: reading it is an error once a script has set precisions by the newer names.
    if torch.backends.cuda.matmul.fp32_precision == "tf32":
        return True
    cudnn: Any = torch.backends.cudnn
    return any(
        (cudnn.conv.fp32_precision == "tf32" and isinstance(module, _ConvNd))
        or (cudnn.rnn.fp32_precision == "tf32" and isinstance(module, nn.RNNBase))
        for module in model.modules()
    )
