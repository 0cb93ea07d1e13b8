"""Finds the layer that logits come from, to see whether two loss calls have the same classifier or the same logits.

It looks at the structure of the graph between the loss and the network's last layer. It computes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from torch import Tensor

from gradlens.autograd.graph import Edge, Leaf, Node, edge_of, inputs_of, walk

# At most this many nodes between the logits and the last layer's parameters are searched.
SEARCHED = 64
# At most this many casts, views and transposes may lie between a layer and its own weight.
BETWEEN = 4
# Nodes whose inside cannot be seen. Several outputs of one such node may be several classifiers.
OPAQUE = ("CompiledFunctionBackward", "CheckpointFunctionBackward")


def origin_of(logits: Tensor) -> Edge:
    """Returns the place in the graph that logits come from: before casts, views, scalings and activations.

    These operations work on each entry alone, so two tensors with one origin hold the same rows. A slice has another origin
    than its tensor.
    """
    edge = edge_of(logits)
    for _ in range(SEARCHED):
        inputs = [child for child in inputs_of(edge[0]) if child[0] is not None]
        if len(inputs) != 1 or type(inputs[0][0]) is Leaf or entries(inputs[0]) != entries(edge):
            break
        edge = inputs[0]
    return edge


def classifier_of(logits: Tensor) -> frozenset[int]:
    """Returns the ids of the parameters of the layer that logits come from; empty if the layer cannot be seen."""
    node, layer = _layer(logits)
    return frozenset() if node is None or node.name() in OPAQUE else frozenset(id(param) for param in layer)


def has_outputs(logits: Tensor, count: int) -> bool:
    """Says whether logits come from a layer with ``count`` outputs: a parameter of it has a dimension of that size.

    Similarities of embeddings come from a layer with other sizes, which makes the embeddings.
    """
    return any(count in param.shape for param in _layer(logits)[1])


def _layer(logits: Tensor) -> tuple[Node, list[Tensor]]:
    """Returns the nearest node that uses parameters, and these parameters; (None, []) if there is none."""
    for node in nearest_first(logits.grad_fn):
        # A parameter with one entry is a temperature. Several classifiers may share it, so it does not count.
        found = [variable for variable in parameters_of(node) if variable.numel() > 1]
        if found:
            return node, found
    return None, []


def parameters_of(node: Node) -> list[Tensor]:
    """Returns the leaf tensors that a node uses, directly or through a cast or a transpose."""
    return [variable for child, _ in inputs_of(node) if (variable := leaf_at(child)) is not None]


def nearest_first(start: Node) -> Iterator[Node]:
    """Yields at most SEARCHED nodes of a graph, those nearest to ``start`` first."""
    return walk([(start, 0)], nearest_first=True, most=SEARCHED)


def leaf_at(node: Node) -> Tensor | None:
    """Returns the leaf tensor at a node, or after a few nodes of one input each (a cast, a transpose); otherwise None."""
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
    """Returns the number of entries of the tensor at an edge; None if it is not known."""
    known = getattr(edge[0], "_input_metadata", ())
    return prod(known[edge[1]].shape) if edge[1] < len(known) else None
