"""LayerKind: what the split engine must know of one kind of layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


def never_refuses(module: Any) -> str | None:  # noqa: ARG001
    """The refusal of a kind that is exact in every configuration."""
    return None


@dataclass(frozen=True)
class LayerKind:
    """One kind of layer that treats the rows of a batch one by one.

    Attributes:
        module: The class.
        gradients: (module, inputs [n, ...], output gradients [n, ...], each) -> parameter name -> gradient, summed over
            the n rows, or [n, *parameter] one by one where ``each``. May leave out what is not trainable.
        dims: (module) -> the least and the largest number of input dimensions with rows in the first; None = no limit.
        refusal: (module) -> why this configuration mixes rows or is not covered, or None.
        methods: The methods that a subclass must not override.
        each: Whether ``gradients`` can return the rows one by one at reasonable cost.
    """

    module: type[nn.Module]
    gradients: Callable[[Any, Tensor, Tensor, bool], dict[str, Tensor]]
    dims: Callable[[Any], tuple[int, int | None]]
    refusal: Callable[[Any], str | None] = never_refuses
    methods: tuple[str, ...] = ("forward",)
    each: bool = True


def trains(module: nn.Module, name: str) -> bool:
    """Says whether the module owns a trainable parameter of that name."""
    parameter = module._parameters.get(name)
    return parameter is not None and parameter.requires_grad


def total(product: Tensor, keep: tuple[int, ...], each: bool) -> Tensor:
    """Sums over every dimension but ``keep``, and but the rows (dimension 0) where ``each``."""
    kept = {dim % product.ndim for dim in keep} | ({0} if each else set())
    summed = [dim for dim in range(product.ndim) if dim not in kept]
    return product.sum(summed) if summed else product
