"""Computes the inner products of gradient vectors, layer by layer, on the device of the parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Self

import torch
from torch import Tensor, nn

from gradlens.autograd.grads import Grads
from gradlens.autograd.shards import local, parameters_at_rest

# Entries of the float64 block in which vectors are multiplied. It limits the extra memory to 32 MiB.
BLOCK = 2**22


@dataclass(frozen=True)
class Layout:
    """The measured parameters and the layers that own them.

    Attributes:
        params: P parameters. A tied parameter is listed once, under the first module that has it.
        layers: L names of the modules that hold parameters themselves; "(root)" is the model itself.
        layer_of: [P] index of the layer of each parameter.
    """

    params: tuple[nn.Parameter, ...]
    layers: tuple[str, ...]
    layer_of: tuple[int, ...]

    @classmethod
    def of(cls, model: nn.Module) -> Self:
        """Returns the layout of all real and complex parameters of a model.

        Frozen parameters are included, because a training may unfreeze them later.
        """
        layers: dict[str, int] = {}
        params: list[nn.Parameter] = []
        layer_of: list[int] = []
        for name, param in parameters_at_rest(model):
            if not differentiable(param):
                continue
            owner = ".".join(part for part in name.split(".")[:-1] if part != "_orig_mod") or "(root)"
            params.append(param)
            layer_of.append(layers.setdefault(owner, len(layers)))
        return cls(tuple(params), tuple(layers), tuple(layer_of))

    def trainable(self) -> list[int]:
        """Returns the indices of the parameters that require a gradient now."""
        return [index for index, param in enumerate(self.params) if param.requires_grad]


def inner_products(
    vectors: Sequence[Grads], params: Sequence[nn.Parameter], layer_of: Sequence[int], layers: int
) -> Tensor:
    """Returns the inner products [L, V, V] of V vectors in each layer. A missing gradient (None) counts as zero.

    They are in float64 (float32 on a device of type mps). A complex parameter counts as two real ones, its real and its
    imaginary part.

    Args:
        vectors: V lists of P gradients.
        params: P parameters.
        layer_of: [P] layer of each parameter, from 0 to L - 1.
        layers: Number of layers L.
    """
    home = params[0].device if params else torch.device("cpu")
    wide = torch.float32 if home.type == "mps" else torch.float64  # mps has no float64
    # Vectors without any gradient are left out, so they cost nothing. ``rest`` is often such a vector.
    reaching = [any(gradient is not None for gradient in vector) for vector in vectors]
    present = [vector for vector, reaches in zip(vectors, reaching, strict=True) if reaches]
    reached = [i for i in range(len(params)) if any(vector[i] is not None for vector in present)]
    reached.sort(key=lambda i: layer_of[i])
    zero = torch.zeros(len(present), len(present), dtype=wide, device=home)
    found = [zero] * layers
    with torch.no_grad():
        for block, widths in _blocks(present, params, reached, wide):
            start = 0
            for layer, width in _by_layer(widths, layer_of):
                part = block[:, start : start + width]
                product = torch.mm(part, part.T).to(home)
                found[layer] = product if found[layer] is zero else found[layer] + product
                start += width
    products = torch.stack(found) if found else zero.new_zeros(0, *zero.shape)
    # On some processors the two triangles are summed in different orders. The log keeps only one triangle.
    products = products.triu() + products.triu(1).mT
    return _spread(_spread(products, 1, reaching), 2, reaching)


def _spread(products: Tensor, dim: int, present: Sequence[bool]) -> Tensor:
    """Inserts zeros along a dimension where a vector was left out. It stacks, because an index must be sent to the device."""
    if all(present):
        return products
    slices = iter(products.unbind(dim))
    nothing = products.new_zeros([size for d, size in enumerate(products.shape) if d != dim])
    return torch.stack([next(slices) if there else nothing for there in present], dim)


def _by_layer(widths: Sequence[tuple[int, int]], layer_of: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yields (layer, width): the widths of neighbouring parameters of one layer are added up."""
    for layer, members in groupby(widths, key=lambda pair: layer_of[pair[0]]):
        yield layer, sum(width for _, width in members)


def _blocks(
    vectors: Sequence[Grads], params: Sequence[nn.Parameter], indices: Sequence[int], dtype: torch.dtype
) -> Iterator[tuple[Tensor, list[tuple[int, int]]]]:
    """Yields [V, n] blocks of at most BLOCK entries, and the (parameter, width) pairs of their columns."""
    limit = max(BLOCK // max(len(vectors), 1), 1)
    waiting: list[tuple[int, int]] = []
    for index in indices:
        size, device = _width(params[index]), params[index].device
        full = sum(width for _, width in waiting) + size > limit
        if waiting and (full or params[waiting[0][0]].device != device):
            yield _side_by_side(vectors, params, waiting, dtype), waiting
            waiting = []
        if size > limit:
            for block in _pieces(vectors, index, size, limit, device, dtype):
                yield block, [(index, block.shape[1])]
        else:
            waiting.append((index, size))
    if waiting:
        yield _side_by_side(vectors, params, waiting, dtype), waiting


def _side_by_side(
    vectors: Sequence[Grads], params: Sequence[nn.Parameter], widths: Sequence[tuple[int, int]], dtype: torch.dtype
) -> Tensor:
    device = params[widths[0][0]].device
    block = torch.empty(len(vectors), sum(width for _, width in widths), dtype=dtype, device=device)
    zero = torch.zeros(1, dtype=params[widths[0][0]].dtype.to_real(), device=device)
    for row, vector in zip(block, vectors, strict=True):
        # Each gradient is flattened in its order of dimensions, whatever its memory format is. All parameters share one
        # concatenation and one conversion, because the number of such calls costs time, not the number of entries.
        row.copy_(torch.cat([zero.expand(n) if (g := vector[i]) is None else _entries(g) for i, n in widths]))
    return block


def _pieces(
    vectors: Sequence[Grads], index: int, size: int, limit: int, device: torch.device, dtype: torch.dtype
) -> Iterator[Tensor]:
    flat = [None if (g := vector[index]) is None else _entries(g) for vector in vectors]
    for start in range(0, size, limit):
        stop = min(start + limit, size)
        block = torch.zeros(len(vectors), stop - start, dtype=dtype, device=device)
        for row, gradient in zip(block, flat, strict=True):
            if gradient is not None:
                row.copy_(gradient[start:stop])
        yield block


def differentiable(param: Tensor) -> bool:
    """Says whether the dtype of a parameter allows a gradient."""
    return param.is_floating_point() or param.is_complex()


def real(tensor: Tensor) -> Tensor:
    """Returns a complex tensor [...] as a real one [..., 2] of real and imaginary parts. Returns a real tensor as it is."""
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def _width(param: Tensor) -> int:
    return param.numel() * (2 if param.is_complex() else 1)


def _entries(gradient: Tensor) -> Tensor:
    return real(dense(gradient)).reshape(-1)


def dense(gradient: Tensor) -> Tensor:
    """Returns a gradient as a dense (strided) tensor. Embeddings may have sparse gradients.

    Of a sharded gradient it returns the part of this process.
    """
    part = local(gradient)
    return part.to_dense() if part.layout != torch.strided else part
