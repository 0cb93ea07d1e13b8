"""``Computing``: how a network computes its features: precision, memory format, and whether it is compiled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from gradlens.longtail.errors import LongTailError

PRECISIONS = ("float32", "bfloat16")
MEMORY_FORMATS = ("channels_last", "contiguous_format")


@dataclass(frozen=True)
class Computing:
    """How a network computes its features. The classifier and the losses are always computed in float32.

    Attributes:
        precision: "float32", or "bfloat16" for autocast: convolutions and products of matrices in bfloat16. The weights, their
            gradients and the optimizer stay in float32.
        memory_format: Order of images and of the weights of convolutions in memory: "channels_last" or "contiguous_format"
            (channels first).
        compile: True to train with code that torch.compile makes of the trunk. Evaluation and probes run the trunk as it is.

    Raises:
        LongTailError: A value is unknown.
    """

    precision: str = "float32"
    memory_format: str = "contiguous_format"
    compile: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise LongTailError(
                f"precision={self.precision!r}; choose {' or '.join(map(repr, PRECISIONS))} (gradlens train --precision auto: "
                "the faster one)"
            )
        if self.memory_format not in MEMORY_FORMATS:
            raise LongTailError(
                f"memory_format={self.memory_format!r}; choose {' or '.join(map(repr, MEMORY_FORMATS))}"
            )


def fastest_precision(device: torch.device | str) -> str:
    """Returns the precision in which a device trains fastest: "bfloat16" if it multiplies bfloat16 matrices in hardware.

    On a CPU these are the AMX instructions. A CPU that only has AVX-512 instructions for bfloat16 is slower with them than
    with float32 (measured with PyTorch 2.15: 1.2 to 1.3 x).
    """
    where = torch.device(device)
    if where.type == "cpu":
        fast = torch.cpu._is_amx_tile_supported()
    else:
        fast = where.type == "cuda" and torch.cuda.get_device_capability(where) >= (8, 0)
    return "bfloat16" if fast else "float32"


# Every size of a batch is compiled anew: code for any size would depend on which sizes came before, so that a resumed training
# would differ. torch gives up after 8 sizes, which several trainings in one process exceed.
COMPILED_SIZES = 64


@cache
def compiled(trunk: Callable[[nn.Module, Tensor], Tensor]) -> Callable[[nn.Module, Tensor], Tensor]:
    """Returns a function that computes a trunk with compiled code. It compiles when it is called with a new size of batch.

    Args:
        trunk: A method that maps a network and its images to features.
    """
    import torch._dynamo.config

    limit = torch._dynamo.config.recompile_limit
    torch._dynamo.config.recompile_limit = max(limit, COMPILED_SIZES)
    run = torch.compile(trunk, dynamic=False, fullgraph=True)

    def compute(network: nn.Module, images: Tensor) -> Tensor:
        try:
            return run(network, images)
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = str(error).strip().splitlines()[0]
            raise LongTailError(
                f"torch.compile cannot compile the network here ({reason}); on a CPU it needs a C++ compiler such as g++; "
                "train with compile=false"
            ) from error

    return compute
