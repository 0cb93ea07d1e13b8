"""Classifiers: whether the logits of two loss calls come from the same layer, or are even the same logits.

Read off the graph above the network's last layer: its structure only, no arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from torch import Tensor

from gradlens.autograd.graph import Edge, Leaf, Node, edge_of, inputs_of, walk

# Nodes between logits and the last layer's parameters that are searched.
SEARCHED = 64
# Casts, views and transposes between a layer and its own weight.
BETWEEN = 4
# Nodes whose inside cannot be seen; several outputs of one of them may be several classifiers.
OPAQUE = ("CompiledFunctionBackward", "CheckpointFunctionBackward")


def origin_of(logits: Tensor) -> Edge:
    """Returns where logits come from, without the casts, views, scalings and activations that keep each entry.

    Two tensors of one origin hold the same rows; slices of one tensor do not have its origin.
    """
    edge = edge_of(logits)
    for _ in range(SEARCHED):
        inputs = [child for child in inputs_of(edge[0]) if child[0] is not None]
        if len(inputs) != 1 or type(inputs[0][0]) is Leaf or entries(inputs[0]) != entries(edge):
            break
        edge = inputs[0]
    return edge


def classifier_of(logits: Tensor) -> frozenset[int]:
    """Returns the ids of the parameters of the layer that logits come from; empty where that cannot be seen."""
    node, layer = _layer(logits)
    return frozenset() if node is None or node.name() in OPAQUE else frozenset(id(param) for param in layer)


def has_outputs(logits: Tensor, count: int) -> bool:
    """Says whether logits come from a layer with so many outputs: a parameter of it has a dimension of that size.

    Similarities of embeddings come from a layer that makes embeddings.
    """
    return any(count in param.shape for param in _layer(logits)[1])


def _layer(logits: Tensor) -> tuple[Node, list[Tensor]]:
    """Returns the nearest node that uses parameters, and those."""
    for node in nearest_first(logits.grad_fn):
        # A single number is a temperature, which several classifiers may share.
        found = [variable for variable in parameters_of(node) if variable.numel() > 1]
        if found:
            return node, found
    return None, []


def parameters_of(node: Node) -> list[Tensor]:
    """Returns the leaf tensors that a node uses, as they are or cast and transposed."""
    return [variable for child, _ in inputs_of(node) if (variable := leaf_at(child)) is not None]


def nearest_first(start: Node) -> Iterator[Node]:
    """Yields nodes of a graph, those with the fewest steps to ``start`` first, up to a number."""
    return walk([(start, 0)], nearest_first=True, most=SEARCHED)


def leaf_at(node: Node) -> Tensor | None:
    """Returns the leaf at a node, or behind a few nodes of one input each (a cast, a transpose)."""
    for _ in range(BETWEEN):
        if node is None:
            return None
        if type(node) is Leaf:
            variable: Tensor = node.variable
            return variable
        inputs = inputs_of(node)
        if len(inputs) != 1:
            return None
        node = inputs[0][0]
    return None


def entries(edge: Edge) -> int | None:
    """Returns how many entries the tensor of an edge has; None where that is not known."""
    known = getattr(edge[0], "_input_metadata", ())
    return prod(known[edge[1]].shape) if edge[1] < len(known) else None
