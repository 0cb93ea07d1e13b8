"""The factor between the loss that is measured and what the training loop differentiates (loss scaling)."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from gradlens.autograd.grads import Grads
from gradlens.guards.deferred_error import HeldError


class BackwardScale:
    """Learns the factor during the backward pass inside ``with``, from the gradients that pass the anchors.

    A gradient scaler or an average over micro-batches may sit between the loss and the backward pass; gradients that
    hooks see there carry its factor. Nothing synchronises with a device other than the CPU.
    """

    def __init__(self, loss: Tensor, anchors: Sequence[Tensor]) -> None:
        self._anchors = list(anchors)
        self._expected = torch.autograd.grad(loss, self._anchors, retain_graph=True, allow_unused=True)
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
            Exception: What went wrong during the backward pass, which it did not reach.
        """
        self._held.check()
        if not self._products:
            return vectors
        device = self._products[0][0].device
        numerator = torch.stack([actual.to(device) for actual, _ in self._products]).sum()
        denominator = torch.stack([expected.to(device) for _, expected in self._products]).sum()
        inverse = denominator / numerator
        # A loss of constant zero or of NaN tells no factor.
        inverse = torch.where(torch.isfinite(inverse) & (inverse != 0), inverse, torch.ones_like(inverse))
        if device.type == "cpu" and float(inverse) == 1.0:
            return vectors
        return [[None if g is None else (g * inverse.to(g.device)).to(g.dtype) for g in vector] for vector in vectors]

    def _compare(self, expected: Tensor, actual: Tensor) -> None:
        self._products.append(_products(expected, actual))


@torch.no_grad()
def _products(expected: Tensor, actual: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the inner product of both, and the squared norm of the first."""
    dtype = torch.float32 if actual.device.type == "mps" else torch.float64
    # A sample whose loss is not finite tells nothing, and must not hide what the others tell.
    wide, passed = (_real(gradient).to(dtype).nan_to_num(0.0, 0.0, 0.0) for gradient in (expected, actual))
    return (passed * wide).sum(), (wide * wide).sum()


def _real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
