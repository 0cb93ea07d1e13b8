"""Arithmetic of gradient vectors, which are lists of one tensor for each measured parameter; see ``gradlens.autograd.grads``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gradlens.autograd.float_range import can_leave, in_range
from gradlens.autograd.grads import Grads
from gradlens.autograd.inner_products import dense, real


def zeroed(gradients: Sequence[Tensor | None]) -> list[bool]:
    """Says for each gradient whether it is missing or zero. It waits for the device.

    This is asked only between the micro-batches of a measured step.
    """
    parts = [None if g is None else dense(g.detach()) for g in gradients]
    # The largest entry, not the norm: the squares of small entries would be 0.
    filled = [part for part in parts if part is not None and part.numel()]
    largest = iter(torch._foreach_norm(filled, ord=torch.inf)) if filled else iter(())
    return [part is None or not part.numel() or float(next(largest)) == 0 for part in parts]


def summed(losses: Sequence[Tensor]) -> Tensor:
    """Returns the sum of the losses."""
    total = losses[0]
    for loss in losses[1:]:
        total = total + loss
    return total


def added(a: Grads, b: Grads) -> Grads:
    """Returns a + b. A gradient that is missing in both is missing in the sum."""
    return [y if x is None else x if y is None else dense(x) + dense(y) for x, y in zip(a, b, strict=True)]


def less(after: Grads, before: Grads, *, copied: bool) -> Grads:
    """Returns after - before.

    Args:
        after: A gradient for each parameter.
        before: The same at an earlier moment; None counts as zero.
        copied: Whether to copy a gradient that has no ``before``; if not, it shares memory with ``after``.
    """
    return [
        None if a is None else dense(a) - dense(b) if b is not None else a.detach().clone() if copied else a.detach()
        for a, b in zip(after, before, strict=True)
    ]


def relative_difference(found: Grads, truth: Grads) -> Tensor:
    """Returns |found - truth| / |truth| as a scalar on the device.

    It is 0 where nothing can be compared: both vectors are zero, or the truth is not finite. It is inf if only the truth is
    zero, or if only ``found`` is not finite.
    """
    pairs = [(f, t) for f, t in zip(found, truth, strict=True) if f is not None or t is not None]
    if not pairs:
        return torch.tensor(0.0)
    there = [g for pair in pairs for g in pair if g is not None]
    home = there[0].device
    if can_leave(there):
        (found, truth), _ = in_range([[f for f, _ in pairs], [t for _, t in pairs]], home)
        pairs = list(zip(found, truth, strict=True))
    wide = torch.float32 if home.type == "mps" else torch.float64  # the squares of float32 need float64
    wrong, size = torch.zeros((), device=home, dtype=wide), torch.zeros((), device=home, dtype=wide)
    for f, t in pairs:
        f_, t_ = (None if g is None else real(dense(g)).to(wide) for g in (f, t))
        gap = f_ - t_ if f_ is not None and t_ is not None else f_ if f_ is not None else t_
        if gap is not None:
            wrong = wrong + gap.square().sum().to(home)
        if t_ is not None:
            size = size + t_.square().sum().to(home)
    silent = ~size.isfinite() | ((size == 0) & (wrong == 0))
    return torch.where(silent, 0.0, (wrong / size).sqrt().nan_to_num(torch.inf, torch.inf))
