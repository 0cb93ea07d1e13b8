"""Inner products of gradient vectors, layer by layer, on the device where the parameters lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from gradlens.engines import Grads

# Entries of the float64 block in which vectors are multiplied: bounds the extra memory (32 MiB).
BLOCK = 2**22


@dataclass(frozen=True)
class Layout:
    """The measured parameters and the layers that own them.

    Attributes:
        params: P parameters; a tied one stands once, with its first owner.
        layers: L names of the modules that own parameters directly; "(root)" for the model itself.
        layer_of: [P] the index of each parameter's layer.
    """

    params: tuple[nn.Parameter, ...]
    layers: tuple[str, ...]
    layer_of: tuple[int, ...]

    @classmethod
    def of(cls, model: nn.Module) -> Self:
        """Returns the layout of all floating-point parameters of a model, trainable or not (some thaw later)."""
        layers: dict[str, int] = {}
        params: list[nn.Parameter] = []
        layer_of: list[int] = []
        for name, param in model.named_parameters():
            if not param.is_floating_point():
                continue
            owner = name.rpartition(".")[0].replace("_orig_mod.", "").replace("_orig_mod", "") or "(root)"
            params.append(param)
            layer_of.append(layers.setdefault(owner, len(layers)))
        return cls(tuple(params), tuple(layers), tuple(layer_of))

    def trainable(self) -> list[int]:
        """Returns the indices of the parameters that want a gradient now."""
        return [index for index, param in enumerate(self.params) if param.requires_grad]


def inner_products(
    vectors: Sequence[Grads], params: Sequence[nn.Parameter], layer_of: Sequence[int], layers: int
) -> Tensor:
    """Returns [L, V, V] float64 inner products of V vectors over P parameters; a missing gradient (None) is zero.

    Args:
        vectors: V lists of P gradients.
        params: P parameters.
        layer_of: [P] layer of each, 0..L-1.
        layers: L.
    """
    home = params[0].device if params else torch.device("cpu")
    wide = torch.float32 if home.type == "mps" else torch.float64  # mps has no float64
    members: list[list[int]] = [[] for _ in range(layers)]
    for index, layer in enumerate(layer_of):
        if any(vector[index] is not None for vector in vectors):
            members[layer].append(index)
    found = torch.zeros(layers, len(vectors), len(vectors), dtype=wide, device=home)
    with torch.no_grad():
        for layer, indices in enumerate(members):
            for block in _blocks(vectors, params, indices, wide):
                found[layer] += (block @ block.T).to(home)
    return found


def _blocks(
    vectors: Sequence[Grads], params: Sequence[nn.Parameter], indices: Sequence[int], dtype: torch.dtype
) -> Iterator[Tensor]:
    """Yields [V, n] blocks whose columns are the entries of the given parameters, at most BLOCK entries each."""
    limit = max(BLOCK // len(vectors), 1)
    waiting: list[int] = []
    for index in indices:
        size = params[index].numel()
        if waiting and sum(params[i].numel() for i in waiting) + size > limit:
            yield _side_by_side(vectors, params, waiting, dtype)
            waiting = []
        if size > limit:
            yield from _pieces(vectors, index, size, limit, params[index].device, dtype)
        else:
            waiting.append(index)
    if waiting:
        yield _side_by_side(vectors, params, waiting, dtype)


def _side_by_side(
    vectors: Sequence[Grads], params: Sequence[nn.Parameter], indices: Sequence[int], dtype: torch.dtype
) -> Tensor:
    width = sum(params[index].numel() for index in indices)
    block = torch.empty(len(vectors), width, dtype=dtype, device=params[indices[0]].device)
    for row, vector in zip(block, vectors, strict=True):
        start = 0
        for index in indices:
            stop = start + params[index].numel()
            gradient = vector[index]
            # Viewed in the parameter's shape, so that any memory format is copied once and in the same order.
            target = row[start:stop].view(params[index].shape)
            _ = target.zero_() if gradient is None else target.copy_(dense(gradient))
            start = stop
    return block


def _pieces(
    vectors: Sequence[Grads], index: int, size: int, limit: int, device: torch.device, dtype: torch.dtype
) -> Iterator[Tensor]:
    flat = [None if (g := vector[index]) is None else dense(g).reshape(-1) for vector in vectors]
    for start in range(0, size, limit):
        stop = min(start + limit, size)
        block = torch.zeros(len(vectors), stop - start, dtype=dtype, device=device)
        for row, gradient in zip(block, flat, strict=True):
            if gradient is not None:
                row.copy_(gradient[start:stop])
        yield block


def dense(gradient: Tensor) -> Tensor:
    """Returns a gradient as a strided tensor (embeddings can have sparse ones)."""
    return gradient.to_dense() if gradient.layout != torch.strided else gradient
