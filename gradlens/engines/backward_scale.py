"""Finds the factor between the measured loss and the scalar that the training differentiates (loss scaling)."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from gradlens.autograd.cotangents import AnchoredLosses
from gradlens.autograd.grads import Grads
from gradlens.guards.deferred_error import HeldError

# Of larger gradients, a weighted sum of each row is kept and compared instead: with a vocabulary of 50,000, the gradient at the
# logits needs as much memory as the logits.
LARGE = 2**21
# Rows are summed in pieces of so many entries.
PIECE = 2**20


class BackwardScale:
    """Measures the factor while the backward pass runs inside the ``with`` block, from the gradients at the anchors.

    The training may multiply the loss before its backward pass: by the scale of a gradient scaler, or by 1 / the number of
    micro-batches. The gradients that hooks receive then contain this factor. Nothing waits for a GPU.
    """

    def __init__(self, passed: AnchoredLosses) -> None:
        """Computes the gradients of the first loss at the anchors, as a backward pass computes them.

        Args:
            passed: The losses of the backward pass and its anchors.
        """
        loss, self._anchors = passed.losses[0], list(passed.anchors)
        found: Sequence[Tensor | None] = (
            passed.cotangents(0)
            if len(self._anchors) == 1
            else torch.autograd.grad(loss, self._anchors, retain_graph=True, allow_unused=True)
        )
        self._expected: Sequence[Tensor | None] = [None if g is None else _compared(g) for g in found]
        self._products: list[tuple[Tensor, Tensor]] = []
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        self._held = HeldError()

    def __enter__(self) -> Self:
        for anchor, expected in zip(self._anchors, self._expected, strict=True):
            if expected is not None:
                hook = self._held.hook(self._compare, expected)
                self._handles.append(anchor.register_hook(hook))  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._anchors, self._expected = [], ()

    def undo(self, vectors: list[Grads]) -> list[Grads]:
        """Returns the vectors divided by the factor.

        Raises:
            Exception: A hook of this class failed during the backward pass; the pass itself was not disturbed.
        """
        self._held.check()
        if not self._products:
            return vectors
        device = self._products[0][0].device
        numerator = torch.stack([actual.to(device) for actual, _ in self._products]).sum()
        denominator = torch.stack([expected.to(device) for _, expected in self._products]).sum()
        inverse = denominator / numerator
        # A loss that is always zero, or NaN, says nothing about the factor.
        inverse = torch.where(torch.isfinite(inverse) & (inverse != 0), inverse, torch.ones_like(inverse))
        if device.type == "cpu" and float(inverse) == 1.0:
            return vectors
        return [[None if g is None else (g * inverse.to(g.device)).to(g.dtype) for g in vector] for vector in vectors]

    def _compare(self, expected: Tensor, actual: Tensor) -> None:
        actual = _compared(actual)
        # The same gradient says that nothing was scaled. On another device, this would wait for it.
        if actual.device.type != "cpu" or not torch.equal(expected, actual):
            self._products.append(_products(expected, actual))


@torch.no_grad()
def _compared(gradient: Tensor) -> Tensor:
    """Returns the gradient, or of a large one [*R, C] the weighted sum of each row. Both are linear: a factor shows in them.

    The weights are different, because the entries of a row of a cross-entropy's gradient add up to zero.
    """
    if gradient.numel() <= LARGE or gradient.ndim < 2 or gradient.is_complex():
        return gradient
    dtype = torch.promote_types(gradient.dtype, torch.float32)
    weights = torch.arange(1, gradient.shape[-1] + 1, device=gradient.device, dtype=dtype).cos_()
    rows = gradient.flatten(0, -2) if gradient.is_contiguous() else gradient
    pieces = torch.split(rows, max(PIECE // rows[0].numel(), 1))
    return torch.cat([(piece.to(dtype) @ weights).flatten() for piece in pieces])


@torch.no_grad()
def _products(expected: Tensor, actual: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the inner product of the two gradients, and the squared norm of the expected one; scalars on the device."""
    dtype = torch.float32 if actual.device.type == "mps" else torch.float64
    # A sample whose loss is not finite says nothing about the factor, and must not spoil the sums of the others.
    wide, passed = (_real(gradient).to(dtype).nan_to_num(0.0, 0.0, 0.0) for gradient in (expected, actual))
    return (passed * wide).sum(), (wide * wide).sum()


def _real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
