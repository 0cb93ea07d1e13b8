"""The precision of a training step: float32 with and without TF32, and autocast."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

# "default" does not change PyTorch's flags. On a GPU with TF32 convolutions and recurrent networks then compute in TF32.
PRECISIONS = ("float32", "default", "tf32", "bfloat16", "float16")


def prepare(precision: str) -> None:
    """Sets PyTorch's flags for a precision."""
    if precision in ("float32", "tf32"):
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"


def autocast(precision: str, device: str) -> AbstractContextManager[Any]:
    """Returns the context manager for a forward pass."""
    if precision not in ("bfloat16", "float16"):
        return nullcontext()
    return torch.autocast(device.partition(":")[0], dtype=getattr(torch, precision))


def scaler_for(precision: str, device: str) -> torch.amp.GradScaler:
    """Returns the gradient scaler of a precision. It only has an effect for float16."""
    return torch.amp.GradScaler(device.partition(":")[0], init_scale=1024.0, enabled=precision == "float16")
