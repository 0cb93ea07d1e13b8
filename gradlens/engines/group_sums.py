"""Adds up the parameter gradients of each group's rows, layer by layer; the split engine uses it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from gradlens.autograd.grads import Grads
from gradlens.batch.selection import Selection
from gradlens.engines.layers import LayerKind

# With this many groups or more, one kernel computes the gradient of every row, instead of one kernel for each group.
MANY_GROUPS = 8
# The most gradient entries that such a kernel computes at once. More rows are treated in pieces.
PIECE = 2**24
# If at least this part of the batch is wanted, the kernel takes all rows: the others cost less than gathering the wanted ones.
MOST_ROWS = 0.75


class GroupSums:
    """Adds up one gradient vector for each selection of rows."""

    def __init__(self, params: Sequence[nn.Parameter], selections: Sequence[Selection]) -> None:
        """Starts with empty sums.

        Args:
            params: The measured parameters.
            selections: The rows of each wanted vector.
        """
        self._params = params
        self._index = {id(param): position for position, param in enumerate(params)}
        self.selections = tuple(selections)
        self._sums: list[Grads] = [[None] * len(params) for _ in selections]
        self._stacked: dict[int, Tensor] = {}
        self._pairs: tuple[Selection, Tensor] | None = None
        self._owners: dict[int, Tensor | None] = {}  # rows of a batch -> see ``_owner_of_each_row``
        filled = [selection for selection in selections if selection.index.numel()]
        if len(filled) >= MANY_GROUPS:
            self._pairs = _pairs(selections)

    def add_layer(self, kind: LayerKind, module: nn.Module, inputs: Tensor, grads: Tensor) -> None:
        """Adds what one call of a layer contributes to each vector.

        Args:
            kind: How the layer computes its gradients.
            module: The layer.
            inputs: [B, ...] its input.
            grads: [B, ...] gradient of its output.
        """
        owned = {n: p for n, p in module._parameters.items() if p is not None and id(p) in self._index}
        if self._pairs is not None and kind.each:
            self._add_rows(kind, module, owned, inputs, grads)
            return
        for number, selection in enumerate(self.selections):
            if not selection.index.numel():
                continue
            pair = _prepared(module, selection.take(inputs), selection.weighted(grads))
            for name, gradient in kind.gradients(module, *pair, False).items():
                if name in owned:
                    self.add(number, owned[name], gradient)

    def add(self, number: int, param: Tensor | nn.Parameter, gradient: Tensor) -> None:
        """Adds a gradient of one parameter to the vector of selection ``number``."""
        position = self._index[id(param)]
        present = self._sums[number][position]
        self._sums[number][position] = gradient if present is None else present + gradient

    def result(self) -> list[Grads]:
        """Returns one vector for each selection, in the parameters' dtypes."""
        for position, stacked in self._stacked.items():
            for number, gradient in enumerate(stacked[:-1].unbind()):
                if self.selections[number].index.numel():
                    self.add(number, self._params[position], gradient)
        return [
            [g if g is None or g.dtype is p.dtype else g.to(p.dtype) for g, p in zip(vector, self._params, strict=True)]
            for vector in self._sums
        ]

    def _add_rows(
        self, kind: LayerKind, module: nn.Module, owned: Mapping[str, nn.Parameter], inputs: Tensor, grads: Tensor
    ) -> None:
        assert self._pairs is not None
        chosen, owner = self._pairs
        if len(grads) not in self._owners:
            self._owners[len(grads)] = _owner_of_each_row(chosen, owner, len(grads), len(self.selections))
        owners = self._owners[len(grads)]
        largest = max(param.numel() for param in owned.values())
        size = max(PIECE // largest, 1)
        for start in range(0, len(owner if owners is None else owners), size):
            piece = slice(start, start + size)
            if owners is None:
                weight = None if chosen.weight is None else chosen.weight[piece]
                part = Selection(chosen.index[piece], weight)
                pair = _prepared(module, part.take(inputs), part.weighted(grads))
                belongs = owner[piece]
            else:
                pair = _prepared(module, inputs[piece], grads[piece])
                belongs = owners[piece]
            for name, gradient in kind.gradients(module, *pair, True).items():
                if name not in owned:
                    continue
                position = self._index[id(owned[name])]
                if position not in self._stacked:
                    # the last place gets the rows that belong to no selection
                    self._stacked[position] = gradient.new_zeros(len(self.selections) + 1, *owned[name].shape)
                self._stacked[position].index_add_(0, belongs.to(gradient.device), gradient)


def _owner_of_each_row(chosen: Selection, owner: Tensor, rows: int, unowned: int) -> Tensor | None:
    """Returns [rows] the number of the selection that each row of the batch belongs to.

    Args:
        chosen: The rows of all selections.
        owner: For each of them the number of its selection.
        rows: B, the rows of the batch.
        unowned: The number of rows that belong to no selection.

    Returns:
        None if a row belongs to several selections or has a weight, if too few rows are wanted, or if looking at the rows would
        wait for another device.
    """
    index = chosen.index
    if index.device.type != "cpu" or chosen.weight is not None or index.numel() < MOST_ROWS * rows:
        return None
    count = torch.bincount(index, minlength=rows)
    if int(count.max()) > 1:
        return None
    return torch.full((rows,), unowned, dtype=owner.dtype, device=owner.device).index_copy_(0, index, owner)


def _pairs(selections: Sequence[Selection]) -> tuple[Selection, Tensor]:
    """Returns all rows of all selections as one selection, and for each of its rows the number of the selection."""
    index = torch.cat([selection.index for selection in selections])
    owner = torch.cat([torch.full_like(s.index, number) for number, s in enumerate(selections)])
    if all(selection.weight is None for selection in selections):
        return Selection(index, None), owner
    weights = [torch.ones_like(s.index, dtype=torch.float32) if s.weight is None else s.weight for s in selections]
    return Selection(index, torch.cat(weights)), owner


def _prepared(module: nn.Module, inputs: Tensor, grads: Tensor) -> tuple[Tensor, Tensor]:
    """Returns both tensors in the dtype in which gradients are added up: the parameter's, or float32 if that is wider."""
    dtype = next(param.dtype for param in module._parameters.values() if param is not None)
    dtype = torch.promote_types(dtype, torch.float32)
    if inputs.is_floating_point():
        if grads.element_size() < inputs.element_size():
            inputs = inputs.to(grads.dtype)  # autocast rounded them before the layer used them
        inputs = inputs.to(dtype)
    return inputs, grads.to(dtype)


@contextmanager
def _without_autocast(device_type: str) -> Iterator[None]:
    with torch.no_grad(), torch.autocast(device_type, enabled=False):
        yield


def plain_arithmetic(device_type: str) -> AbstractContextManager[None]:
    """Returns a context without a graph and without autocast, whatever the training has turned on."""
    # It is entered for every layer of every measured step. Turning autocast off is slow, and it is seldom on. A backward pass
    # makes a graph only with create_graph=True.
    if torch.is_autocast_enabled(device_type):
        return _without_autocast(device_type)
    return torch.no_grad() if torch.is_grad_enabled() else nullcontext()
