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
    # Vectors without any gradient are left out, so they cost nothing.
    there = [[gradient is not None for gradient in vector] for vector in vectors]
    reaching = [True in known for known in there]
    present = [vector for vector, reaches in zip(vectors, reaching, strict=True) if reaches]
    reached = [i for i, known in enumerate(zip(*there, strict=True)) if True in known]
    reached.sort(key=layer_of.__getitem__)
    found: list[Tensor | None] = [None] * layers
    with torch.no_grad():
        for block, widths in _blocks(present, params, reached, wide):
            start = 0
            for layer, width in _by_layer(widths, layer_of):
                part = block[:, start : start + width]
                product = torch.mm(part, part.T).to(home)
                found[layer] = product if (known := found[layer]) is None else known + product
                start += width
        if not found or None in found:
            zero = torch.zeros(len(present), len(present), dtype=wide, device=home)
            found = [zero if product is None else product for product in found]
        products = torch.stack(found) if found else zero.new_zeros(0, *zero.shape)  # type: ignore[arg-type]
        # On some processors the two triangles are summed in different orders. The log keeps only one triangle.
        products = (products + products.mT).mul_(0.5)
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
    filled, home = 0, None
    for index in indices:
        size, device = width_of(params[index]), params[index].device
        if waiting and (filled + size > limit or device != home):
            yield side_by_side(vectors, params, waiting, dtype), waiting
            waiting, filled = [], 0
        if size > limit:
            for block in _pieces(vectors, index, size, limit, device, dtype):
                yield block, [(index, block.shape[1])]
        else:
            waiting.append((index, size))
            filled, home = filled + size, device
    if waiting:
        yield side_by_side(vectors, params, waiting, dtype), waiting


def side_by_side(
    vectors: Sequence[Grads], params: Sequence[nn.Parameter], widths: Sequence[tuple[int, int]], dtype: torch.dtype
) -> Tensor:
    """Returns [V, n]: each row holds the entries of one vector, parameter after parameter. A missing gradient is zero.

    Each gradient is flattened in its order of dimensions, whatever its memory format is. All share one concatenation and one
    conversion, because the number of such calls costs time, not the number of entries.

    Args:
        vectors: V lists of gradients.
        params: The parameters.
        widths: Pairs of the index of a parameter, all on one device, and its number of real entries.
        dtype: The dtype of the result.
    """
    first = params[widths[0][0]]
    zero = torch.zeros(1, dtype=first.dtype.to_real(), device=first.device)
    entries = [zero.expand(n) if (g := vector[i]) is None else _strided(g) for vector in vectors for i, n in widths]
    flat: Tensor = torch._C._nn.flatten_dense_tensors(entries)
    return flat.view(len(vectors), -1).to(dtype)


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


def width_of(param: Tensor) -> int:
    """Returns the number of real entries of a parameter; a complex one counts as two."""
    return param.numel() * (2 if param.is_complex() else 1)


def _entries(gradient: Tensor) -> Tensor:
    return _strided(gradient).reshape(-1)


def _strided(gradient: Tensor) -> Tensor:
    # This is asked for each gradient of each vector, and nearly all are of the first kind.
    plain = type(gradient) is Tensor and gradient.layout is torch.strided and not gradient.is_complex()
    return gradient if plain else real(dense(gradient))


def dense(gradient: Tensor) -> Tensor:
    """Returns a gradient as a dense (strided) tensor. Embeddings may have sparse gradients.

    Of a sharded gradient it returns the part of this process.
    """
    part = local(gradient)
    return part.to_dense() if part.layout != torch.strided else part
