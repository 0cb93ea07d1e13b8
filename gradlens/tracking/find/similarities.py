"""Similarities: whether logits are products of one sample's embedding with others', and no layer's outputs.

Read off the graph between the logits and the nearest layer, as in ``classifiers``.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from gradlens.autograd.graph import Edge, Leaf, Node, inputs_of, walk
from gradlens.tracking.find.classifiers import BETWEEN, entries, nearest_first, parameters_of

# Operations that compare each row of their last two inputs with each of the other.
PRODUCTS = (
    "MmBackward0",
    "AddmmBackward0",
    "BmmBackward0",
    "BaddbmmBackward0",
    "CdistBackward0",
    "EuclideanDistBackward0",
)
# The same where both inputs are spread over each other's rows before.
SPREAD = ("MulBackward0", "SubBackward0")
LAYERS = (*PRODUCTS, "ConvolutionBackward0")
# Nodes that may make a layer's weight of its parameters: normalised, scaled, transposed.
WEIGHT = 24


def are_similarities(logits: Tensor) -> bool:
    """Says whether logits come from a product nearer than any layer, of which no side is a layer's weight."""
    for node in nearest_first(logits.grad_fn):
        if any(param.numel() > 1 for param in parameters_of(node)):
            return False
        compared = inputs_of(node)[-2:]
        if (node.name() in PRODUCTS or _spreads(node)) and not any(_is_weight(edge) for edge in compared):
            return True
    return False


def _spreads(node: Node) -> bool:
    """Says whether a node multiplies or subtracts two tensors that both have fewer entries than the result."""
    if node.name() not in SPREAD:
        return False
    size = entries((node, 0))
    sides = [_before_it_was_spread(edge) for edge in inputs_of(node) if edge[0] is not None]
    return size is not None and len(sides) == 2 and all(side is not None and side < size for side in sides)


def _before_it_was_spread(edge: Edge) -> int | None:
    """Returns how many entries a tensor has, not counting those that ``expand`` has repeated a few nodes before."""
    node = edge[0]
    for _ in range(BETWEEN):
        if node is None or not (inputs := inputs_of(node)):
            break
        if node.name() == "ExpandBackward0":
            return entries(inputs[0])
        node = inputs[0][0]
    return entries(edge)


def _is_weight(edge: Edge) -> bool:
    """Says whether a tensor is made of a parameter with as many entries, without a layer: a weight, maybe normalised."""
    if edge[0] is None:
        return False
    leaves, size = _leaves(edge[0]), _before_it_was_spread(edge)
    return any(leaf.numel() == size for leaf in leaves)


def _leaves(start: Node) -> Sequence[Tensor]:
    """Returns the leaf tensors that a node depends on; none where it depends on a layer, or more nodes than a weight does."""
    reached = list(walk([(start, 0)], most=WEIGHT + 1))
    if len(reached) > WEIGHT or any(node.name() in LAYERS for node in reached):
        return ()
    return [node.variable for node in reached if type(node) is Leaf]
