"""Gradients whose squares leave the range of floating-point numbers, brought into it by an exact power of two.

The squares of float32 gradients fit into float64. Those of float64 gradients beyond 1e150, or below 1e-150, do not, nor do
those of large float32 gradients where products are taken in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradlens.autograd.grads import Grads
from gradlens.autograd.inner_products import dense, real

# No scaling where the largest entry is between 2 to the power of plus and minus so much: sums of squares fit, those of small
# vectors beside large ones too.
USUAL = {torch.float64: 200, torch.float32: 24}
# A power of two that float64 holds in either direction.
FARTHEST = 1000
# Squares that float32 holds with all its digits, and room for sums.
LEAST, MOST = 1e-32, 1e37


def can_leave(params: Sequence[Tensor]) -> bool:
    """Says whether squares of these parameters' gradients may not fit where products are taken."""
    return any(param.dtype in (torch.float64, torch.complex128) or param.device.type == "mps" for param in params)


def in_range(
    vectors: Sequence[Grads],
    home: torch.device,
    *,
    sized: Sequence[Grads] | None = None,
    agree: Callable[[Tensor], Tensor] = lambda largest: largest,
) -> tuple[Sequence[Grads], Tensor]:
    """Returns vectors divided by 2 ** exponent, and the exponent [] on the device ``home``.

    The exponent is 0, and the vectors stay the same, where their squares fit. Nothing waits for a device other than the CPU.

    Args:
        vectors: Lists of gradients.
        home: The device where products are taken.
        sized: The vectors that must fit; all by default.
        agree: Turns the largest entry of one process into that of all, where each holds a part of the vectors.
    """
    wide = torch.float32 if home.type == "mps" else torch.float64
    largest = torch.zeros((), dtype=wide, device=home)
    with torch.no_grad():
        for vector in vectors if sized is None else sized:
            for gradient in vector:
                if gradient is not None and gradient.numel():
                    entries = real(dense(gradient)).abs()
                    finite = torch.where(entries.isfinite(), entries, 0)
                    largest = torch.maximum(largest, finite.amax().to(home, wide))
        largest = agree(largest)
        exponent = torch.frexp(largest).exponent.to(torch.int32)
        exponent = torch.where((exponent.abs() <= USUAL[wide]) | (largest == 0), 0, exponent).clamp(-FARTHEST, FARTHEST)
        if home.type == "cpu" and int(exponent) == 0:
            return vectors, exponent
        factor = torch.ldexp(torch.ones((), dtype=wide, device=home), -exponent)
        return [[None if g is None else dense(g) * factor.to(g.device) for g in vector] for vector in vectors], exponent


def stored(layers: NDArray[np.float64]) -> NDArray[np.floating]:
    """Returns inner products by layer [L, V, V] in float32, as they are kept, or in float64 where float32 cannot hold them."""
    squares = np.abs(np.diagonal(layers, axis1=-2, axis2=-1))
    squares = squares[np.isfinite(squares) & (squares > 0)]
    if squares.size and (squares.min() < LEAST or squares.max() > MOST):
        return layers
    return layers.astype(np.float32)
