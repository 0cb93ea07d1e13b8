"""How fast this CPU computes the convolutions of a CIFAR ResNet in each precision, beside its products of large matrices.

A float32 convolution that is nearly as fast as a product of matrices leaves little to gain. A precision whose convolutions are
slower than those of float32 cannot make a training faster.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F

# Channels and height of the three stages.
STAGES = ((16, 32), (32, 16), (64, 8))
PRECISIONS = (torch.float32, torch.bfloat16)
SIZE = 1024
TIMES = 9


def speeds(batch: int) -> list[dict[str, Any]]:
    """Returns milliseconds and 10^9 operations a second (GFLOP/s) of each convolution and product, on one thread.

    Args:
        batch: Images of a batch.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [row for precision in PRECISIONS for row in _speeds(batch, precision)]
    finally:
        torch.set_num_threads(threads)


def _speeds(batch: int, precision: torch.dtype) -> list[dict[str, Any]]:
    name = str(precision).removeprefix("torch.")
    matrix = torch.randn(SIZE, SIZE, dtype=precision)
    rows = [_row("product of matrices", name, 2 * SIZE**3, lambda: matrix @ matrix)]
    for channels, height in STAGES:
        images = torch.randn(batch, channels, height, height, dtype=precision)
        images = images.contiguous(memory_format=torch.channels_last).requires_grad_()
        weight = torch.randn(channels, channels, 3, 3, dtype=precision)
        weight = weight.contiguous(memory_format=torch.channels_last).requires_grad_()
        output = F.conv2d(images, weight, padding=1)
        cotangent = torch.randn_like(output)
        work = 2 * 9 * channels**2 * batch * height**2
        stage = f"{channels} channels, {height} x {height}"

        def forward(images: torch.Tensor = images, weight: torch.Tensor = weight) -> None:
            F.conv2d(images.detach(), weight.detach(), padding=1)

        def backward(
            output: torch.Tensor = output,
            inputs: tuple[torch.Tensor, ...] = (images, weight),
            cotangent: torch.Tensor = cotangent,
        ) -> None:
            torch.autograd.grad(output, inputs, cotangent, retain_graph=True)

        rows += [_row(f"{stage}, forward", name, work, forward), _row(f"{stage}, backward", name, 2 * work, backward)]
    return rows


def _row(what: str, precision: str, work: float, run: Callable[[], Any]) -> dict[str, Any]:
    seconds = []
    for _ in range(TIMES):
        begin = time.thread_time()
        run()
        seconds.append(time.thread_time() - begin)
    typical = median(seconds[1:])
    return {"what": what, "precision": precision, "ms": 1e3 * typical, "gflops": work / typical / 1e9}
