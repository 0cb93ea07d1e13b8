"""The audit of the split engine: it finds in the graph where parameters are used, and what mixes the samples of a batch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from gradlens.autograd.graph import Edge, Leaf, Node, edge_of, walk
from gradlens.engines.protocol import EngineRefusal

# Nodes that hide layers from the graph, and why.
OPAQUE = {
    "CheckpointFunctionBackward": "reentrant checkpointing hides the layers inside; pass use_reentrant=False",
    "CompiledFunctionBackward": "compiled code hides the layers inside",
}


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


class DirectUse(NamedTuple):
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
class AuditResult:
    """The result of an audit.

    Attributes:
        nodes: The nodes below the anchors.
        direct: The uses of measured parameters outside the regions.
    """

    nodes: Collection[Any]
    direct: tuple[DirectUse, ...]


def audit(anchors: Sequence[Tensor], regions: Iterable[Region], measured: Collection[int]) -> AuditResult:
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
    below: dict[Node, tuple[Edge, ...]] = {}
    for node in walk(map(edge_of, anchors), leaves=False, inputs=below):
        if node in inside:
            continue
        _refuse_opaque_or_mixing(node)
        for position, (child, _) in enumerate(below[node]):
            if child is None:
                continue
            if type(child) is Leaf:
                variable = child.variable
                if id(variable) in measured:
                    direct.append(DirectUse(node, position, variable))
            elif child in inside and child not in entries:
                raise EngineRefusal(f"split: {node.name()} uses a value from inside a layer")
    return AuditResult(below, tuple(direct))


def enters(loss: Tensor, anchors: Sequence[Tensor], below: Collection[Any]) -> bool:
    """Says whether the loss depends on a tensor below the anchors in another way than through the anchors.

    Args:
        loss: The scalar that is differentiated.
        anchors: The tensors whose rows are samples.
        below: The nodes below the anchors.
    """
    stops = {edge_of(anchor) for anchor in anchors}
    return any(node in below for node, _ in walk([edge_of(loss)], by_edge=True, stops=stops))


def _inside(region: Region, measured: Collection[int]) -> set[Any]:
    found: set[Any] = set()
    for node in walk([(region.entry, 0)], stops=region.exits):
        if type(node) is not Leaf:
            found.add(node)
        elif (used := id(node.variable)) in measured and used not in region.own:
            raise EngineRefusal(f"split: {region.path} uses a parameter that does not belong to it")
    return found


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
