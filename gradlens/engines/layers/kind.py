"""LayerKind: everything that the split engine must know about one kind of layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


def never_refuses(module: Any) -> str | None:  # noqa: ARG001
    """Returns None: for kinds of layers that are exact in every configuration."""
    return None


@dataclass(frozen=True)
class LayerKind:
    """One kind of layer that treats the rows of a batch one by one.

    Attributes:
        module: The class of the layers.
        gradients: Takes (module, inputs [n, ...], output gradients [n, ...], each). Returns the gradient of each parameter by
            name: summed over the n rows, or [n, *parameter] if ``each`` is True. May leave out parameters that do not train.
        dims: Takes the module. Returns the smallest and the largest number of dimensions of its input, whose first dimension
            counts the rows; None: no largest.
        refusal: Takes the module. Returns why this configuration mixes rows or is not covered, or None if it is exact.
        methods: The methods that a subclass must not override.
        each: Whether ``gradients`` can return the gradient of each row at reasonable cost.
    """

    module: type[nn.Module]
    gradients: Callable[[Any, Tensor, Tensor, bool], dict[str, Tensor]]
    dims: Callable[[Any], tuple[int, int | None]]
    refusal: Callable[[Any], str | None] = never_refuses
    methods: tuple[str, ...] = ("forward",)
    each: bool = True


def trains(module: nn.Module, name: str) -> bool:
    """Says whether the module has a trainable parameter of this name."""
    parameter = module._parameters.get(name)
    return parameter is not None and parameter.requires_grad


def total(product: Tensor, keep: tuple[int, ...], each: bool) -> Tensor:
    """Returns the sum over all dimensions except ``keep``. If ``each`` is True, dimension 0 (the rows) is kept, too."""
    kept = {dim % product.ndim for dim in keep} | ({0} if each else set())
    summed = [dim for dim in range(product.ndim) if dim not in kept]
    return product.sum(summed) if summed else product
