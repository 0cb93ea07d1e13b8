"""Walks the autograd graph. Every question about the structure of the graph uses this one function, ``walk``.

Its arguments say where a walk ends. It looks only at the structure: no arithmetic, no waiting for a device, less than a
microsecond for each node.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from typing import Any, TypeAlias

from torch import Tensor
from torch._C import _functions

# A node of the graph. torch has a class for each kind of node, and no common parent class.
Node: TypeAlias = Any
# The class of nodes that add up the gradient of a leaf (a parameter), which is their ``variable``. Nodes of the script's own
# functions may have an attribute of this name, too, so the class decides.
Leaf: Any = _functions.AccumulateGrad
# A node and the number of one of its outputs. A tensor of the graph has one edge. The node is None for a tensor without a graph.
Edge: TypeAlias = tuple[Node, int]


def edge_of(tensor: Tensor) -> Edge:
    """Returns the edge of a tensor in the graph. Its node is None if the tensor has no graph."""
    return tensor.grad_fn, tensor.output_nr


def inputs_of(node: Node) -> tuple[Edge, ...]:
    """Returns the edges of a node's inputs. The node of an edge is None if that input needs no gradient."""
    inputs: tuple[Edge, ...] = node.next_functions
    return inputs


def walk(
    start: Iterable[Edge],
    *,
    by_edge: bool = False,
    stops: Collection[Edge] = (),
    ends: Collection[Any] = (),
    leaves: bool = True,
    nearest_first: bool = False,
    most: int | None = None,
    inputs: dict[Node, tuple[Edge, ...]] | None = None,
) -> Iterator[Any]:
    """Yields the nodes from which tensors are computed, each once, beginning with the tensors' own nodes.

    Args:
        start: The edges of the tensors. Edges without a node are ignored.
        by_edge: Whether to yield edges instead of nodes. A node is then yielded once for each of its outputs that is used.
        stops: Edges that are neither yielded nor followed.
        ends: Nodes (edges, with ``by_edge``) that are yielded but not followed. The caller may add the one just yielded.
        leaves: Whether to yield ``Leaf`` nodes, too.
        nearest_first: Whether to yield nodes near the start first. If not, the walk follows one branch to its end, then the next.
        most: The largest number of nodes (edges) that are yielded; None: no limit.
        inputs: A dict that receives the input edges of each node, before the node is yielded.
    """
    waiting: Any = deque(start) if nearest_first else list(start)
    take = waiting.popleft if nearest_first else waiting.pop
    seen: set[Any] = set()
    while waiting and (most is None or len(seen) < most):
        edge = take()
        node = edge[0]
        key = edge if by_edge else node
        if node is None or key in seen or (stops and edge in stops) or (not leaves and type(node) is Leaf):
            continue
        seen.add(key)
        following = None
        if inputs is not None:
            following = inputs[node] = node.next_functions
        yield key
        if not (ends and key in ends):
            waiting.extend(following or node.next_functions)
