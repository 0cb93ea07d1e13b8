"""Finds out whether logits are similarities: products of a sample's embedding with other embeddings, not outputs of a layer.

It looks at the graph between the logits and the nearest layer, like ``classifiers``.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from gradlens.autograd.graph import Edge, Leaf, Node, inputs_of, walk
from gradlens.tracking.find.classifiers import BETWEEN, entries, nearest_first, parameters_of

# Operations that compare each row of one input with each row of another; these are the last two inputs.
PRODUCTS = (
    "MmBackward0",
    "AddmmBackward0",
    "BmmBackward0",
    "BaddbmmBackward0",
    "CdistBackward0",
    "EuclideanDistBackward0",
)
# Operations that do the same if both inputs were expanded over each other's rows before.
SPREAD = ("MulBackward0", "SubBackward0")
LAYERS = (*PRODUCTS, "ConvolutionBackward0")
# At most this many nodes may compute a layer's weight from its parameters (normalise, scale, transpose).
WEIGHT = 24


def are_similarities(logits: Tensor) -> bool:
    """Says whether logits come from a product that is nearer than any layer, and neither of its inputs is a layer's weight."""
    for node in nearest_first(logits.grad_fn):
        if any(param.numel() > 1 for param in parameters_of(node)):
            return False
        compared = inputs_of(node)[-2:]
        if (node.name() in PRODUCTS or _spreads(node)) and not any(_is_weight(edge) for edge in compared):
            return True
    return False


def _spreads(node: Node) -> bool:
    """Says whether a node multiplies or subtracts two tensors that each have fewer entries than the result."""
    if node.name() not in SPREAD:
        return False
    size = entries((node, 0))
    sides = [_before_it_was_spread(edge) for edge in inputs_of(node) if edge[0] is not None]
    return size is not None and len(sides) == 2 and all(side is not None and side < size for side in sides)


def _before_it_was_spread(edge: Edge) -> int | None:
    """Returns the number of a tensor's entries before ``expand`` has repeated them, if it did so a few nodes before."""
    node = edge[0]
    for _ in range(BETWEEN):
        if node is None or not (inputs := inputs_of(node)):
            break
        if node.name() == "ExpandBackward0":
            return entries(inputs[0])
        node = inputs[0][0]
    return entries(edge)


def _is_weight(edge: Edge) -> bool:
    """Says whether a tensor is a weight: computed, without a layer, from a parameter with as many entries."""
    if edge[0] is None:
        return False
    leaves, size = _leaves(edge[0]), _before_it_was_spread(edge)
    return any(leaf.numel() == size for leaf in leaves)


def _leaves(start: Node) -> Sequence[Tensor]:
    """Returns the leaf tensors that a node depends on; none if it depends on a layer, or on more than WEIGHT nodes."""
    reached = list(walk([(start, 0)], most=WEIGHT + 1))
    if len(reached) > WEIGHT or any(node.name() in LAYERS for node in reached):
        return ()
    return [node.variable for node in reached if type(node) is Leaf]
