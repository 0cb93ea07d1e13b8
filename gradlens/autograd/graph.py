"""The autograd graph: the one walk through it, for every question about its structure.

Each question has bounds of its own, which are arguments. The walk looks at structure only: no arithmetic, no synchronisation with
a device, less than a microsecond for each node.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from typing import Any, TypeAlias

from torch import Tensor
from torch._C import _functions

# A node of the graph. Torch has a class for each kind of node, and none that is above them all.
Node: TypeAlias = Any
# The kind of node that adds up the gradient of a leaf (a parameter), its ``variable``. Functions of the script may have one, too.
Leaf: Any = _functions.AccumulateGrad
# A node and the number of one of its outputs: where a tensor lies in the graph. The node is None for a tensor without a graph.
Edge: TypeAlias = tuple[Node, int]


def edge_of(tensor: Tensor) -> Edge:
    """Returns where a tensor lies in the graph; the node is None without a graph."""
    return tensor.grad_fn, tensor.output_nr


def inputs_of(node: Node) -> tuple[Edge, ...]:
    """Returns where the inputs of a node lie in the graph; the node is None for an input that wants no gradient."""
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
    """Yields the nodes that tensors are computed from, each once.

    Args:
        start: Where the tensors lie; what is there comes, too. No graph is no error.
        by_edge: Yield edges instead of nodes: a node then comes once for each of its outputs that is used.
        stops: Edges that the walk does not follow.
        ends: Nodes (edges, if these come) below which the walk does not go. The caller may add what has just come.
        leaves: Whether the nodes that add up the gradients of leaves come, too.
        nearest_first: Whether what is nearer to the start comes first; else one branch comes to its end before the next.
        most: So many come at the most.
        inputs: Takes where the inputs of each node lie, before it comes.
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
