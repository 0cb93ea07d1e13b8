"""Scales very large or very small gradients by a power of two, so that their squares can be computed.

The squares of float32 gradients fit into float64. The squares of float64 gradients above 1e150 or below 1e-150 do not. Neither
do those of large float32 gradients on a device that computes in float32. Scaling by a power of two changes no digit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradlens.autograd.grads import Grads
from gradlens.autograd.inner_products import dense, real

# Nothing is scaled if the largest entry lies between 2 ** -n and 2 ** n, with this n. Then sums of squares fit, and those of
# small vectors beside large ones, too.
USUAL = {torch.float64: 200, torch.float32: 24}
# float64 holds both 2 ** FARTHEST and 2 ** -FARTHEST.
FARTHEST = 1000
# float32 holds squares between these two with all its digits, and leaves room for their sums.
LEAST, MOST = 1e-32, 1e37


def can_leave(params: Sequence[Tensor]) -> bool:
    """Says whether squares of these parameters' gradients may be too large or too small for the device's arithmetic."""
    return any(param.dtype in (torch.float64, torch.complex128) or param.device.type == "mps" for param in params)


def in_range(
    vectors: Sequence[Grads],
    home: torch.device,
    *,
    sized: Sequence[Grads] | None = None,
    agree: Callable[[Tensor], Tensor] = lambda largest: largest,
) -> tuple[Sequence[Grads], Tensor]:
    """Returns the vectors divided by 2 ** exponent, and the exponent, a scalar tensor on the device ``home``.

    The exponent is 0, and the vectors are not changed, if their squares fit. Nothing waits for a GPU.

    Args:
        vectors: Lists of gradients.
        home: The device where inner products are computed.
        sized: The vectors whose squares must fit; all by default.
        agree: Takes the largest entry in this process, and returns the largest of all processes. It is needed where each
            process holds a part of the vectors.
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
    """Returns inner products by layer [L, V, V] in the dtype of the log: float32, or float64 if float32 cannot hold them."""
    squares = np.abs(np.diagonal(layers, axis1=-2, axis2=-1))
    squares = squares[np.isfinite(squares) & (squares > 0)]
    if squares.size and (squares.min() < LEAST or squares.max() > MOST):
        return layers
    return layers.astype(np.float32)
