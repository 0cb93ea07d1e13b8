"""The audit of the split engine: it finds in the graph where parameters are used, and what mixes the samples of a batch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor

from gradlens.engines.protocol import EngineRefusal

# A node of the graph and the number of one of its outputs: the gradient edge of a tensor.
Edge: TypeAlias = tuple[Any, int]

# Nodes whose inside cannot be seen from the graph.
OPAQUE = {
    "CheckpointFunctionBackward": "reentrant checkpointing hides the layers inside; pass use_reentrant=False",
    "CompiledFunctionBackward": "compiled code hides the layers inside",
}


def edge_of(tensor: Tensor) -> Edge:
    """Returns the gradient edge of a tensor; the node is None without a graph."""
    return tensor.grad_fn, tensor.output_nr


@dataclass(frozen=True)
class Region:
    """The part of the graph that one call of a covered layer created.

    Attributes:
        entry: The node of the layer's output.
        exits: The edges of the layer's inputs, where the region ends.
        own: Ids of the layer's measured parameters.
        path: The name of the layer, for messages.
    """

    entry: Any
    exits: frozenset[Edge]
    own: frozenset[int]
    path: str


@dataclass(frozen=True)
class DirectUse:
    """A use of a measured parameter outside every covered layer.

    Attributes:
        node: The node of the graph that uses it.
        position: The position of the parameter among the inputs of the node.
        param: The parameter.
    """

    node: Any
    position: int
    param: Tensor


@dataclass(frozen=True)
class Account:
    """The result of an audit.

    Attributes:
        nodes: The nodes below the anchors.
        direct: The uses of measured parameters outside the regions.
    """

    nodes: Collection[Any]
    direct: tuple[DirectUse, ...]


def audit(anchors: Sequence[Tensor], regions: Iterable[Region], measured: Collection[int]) -> Account:
    """Walks the graph below the anchors, and finds every use of a measured parameter.

    It looks only at the structure: no arithmetic, no waiting for a device, about a microsecond for each node.

    Args:
        anchors: The tensors whose rows are samples.
        regions: The calls of covered layers.
        measured: Ids of the measured parameters.

    Raises:
        EngineRefusal: A node mixes the samples or hides layers, code outside a layer uses the layer's inside, or a layer uses
            a parameter of another one.
    """
    inside: set[Any] = set()
    entries: set[Any] = set()
    for region in regions:
        entries.add(region.entry)
        inside |= _inside(region, measured)
    direct: list[DirectUse] = []
    stack = [anchor.grad_fn for anchor in anchors if anchor.grad_fn is not None]
    seen: set[Any] = set(stack)
    while stack:
        node = stack.pop()
        outside = node not in inside
        if outside:
            _refuse_opaque_or_mixing(node)
        for position, (child, _) in enumerate(node.next_functions):
            if child is None:
                continue
            variable = getattr(child, "variable", None)
            if variable is not None:
                if outside and id(variable) in measured:
                    direct.append(DirectUse(node, position, variable))
                continue
            if outside and child in inside and child not in entries:
                raise EngineRefusal(f"split: {node.name()} uses the inside of a layer that it covers")
            if child not in seen:
                seen.add(child)
                stack.append(child)
    return Account(seen, tuple(direct))


def enters(loss: Tensor, anchors: Sequence[Tensor], below: Collection[Any]) -> bool:
    """Says whether the loss reaches a node below the anchors on a path around them.

    Args:
        loss: The scalar that is differentiated.
        anchors: The tensors whose rows are samples.
        below: The nodes below the anchors.
    """
    stops = {edge_of(anchor) for anchor in anchors}
    stack: list[Edge] = [edge_of(loss)]
    seen: set[Edge] = set()
    while stack:
        edge = stack.pop()
        if edge[0] is None or edge in seen or edge in stops:
            continue
        if edge[0] in below:
            return True
        seen.add(edge)
        stack.extend(edge[0].next_functions)
    return False


def _inside(region: Region, measured: Collection[int]) -> set[Any]:
    seen: set[Any] = {region.entry}
    stack = [region.entry]
    while stack:
        for edge in stack.pop().next_functions:
            child = edge[0]
            if child is None or edge in region.exits or child in seen:
                continue
            variable = getattr(child, "variable", None)
            if variable is None:
                seen.add(child)
                stack.append(child)
            elif id(variable) in measured and id(variable) not in region.own:
                raise EngineRefusal(f"split: {region.path} reaches a parameter that is not its own")
    return seen


def _refuse_opaque_or_mixing(node: Any) -> None:
    name = node.name()
    if name in OPAQUE:
        raise EngineRefusal(f"split: {OPAQUE[name]} ({name})")
    if "BatchNorm" not in name:
        return
    # InstanceNorm is a batch norm over a single row, which holds the channels of all samples. It mixes no samples.
    rows = getattr(node, "_saved_input", None)
    if getattr(node, "_saved_training", True) and (rows is None or rows.shape[0] != 1):
        raise EngineRefusal(f"split: train-mode batch normalisation in the forward code mixes the samples ({name})")
