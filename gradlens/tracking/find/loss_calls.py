"""Remembers loss calls of the forward pass in the autograd graph itself.

A call lies in the metadata of the graph node that it has made. So it lives exactly as long as the graph, and it is
found from every loss that the script differentiates. An evaluation, which is not differentiated, leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.autograd.graph import GradientEdge

from gradlens.autograd.graph import Leaf, Node, edge_of, walk

KEY = "gradlens"
# At most this many nodes of a loss's graph are searched. It is enough for any model, and limits the time of a search.
SEARCHED_NODES = 200_000


@dataclass(frozen=True)
class LossCall:
    """One loss call.

    Attributes:
        anchor: The logits, or log-probabilities, that the call was given.
        labels: The labels that the call was given.
        ignore_index: The label that the loss ignores.
        function: Name of the loss function.
    """

    anchor: Tensor
    labels: Tensor
    ignore_index: int
    function: str


@dataclass(frozen=True)
class LossNode:
    """A loss call in a graph, with the graph node that it has made."""

    call: LossCall
    node: Any

    @property
    def edge(self) -> GradientEdge:
        """The edge of the graph at which the call's result lies."""
        return GradientEdge(self.node, 0)


def is_trained(logits: Any, labels: Any, output: Any) -> bool:
    """Says whether a loss call may belong to a training step, and whether its tensors may be kept.

    Inside a transform of torch.func, tensors are wrappers that must not be kept after it.
    """
    return (
        isinstance(logits, Tensor)
        and isinstance(labels, Tensor)
        and isinstance(output, Tensor)
        and logits.requires_grad
        and output.grad_fn is not None
        and logits.ndim > 0
        and not is_functorch_wrapped_tensor(output)
    )


def attach(call: LossCall, output: Tensor) -> None:
    """Stores a loss call at the graph node that has made ``output``."""
    node: Any = output.grad_fn
    if node is not None:
        node.metadata[KEY] = call


def find(roots: list[Tensor]) -> list[LossNode]:
    """Returns the loss calls in the graphs of ``roots``, in the order of the forward pass."""
    found: list[LossNode] = []
    calls: set[Node] = set()  # the search ends at a loss call: another one below it is not a loss of its own
    for node in walk(map(edge_of, roots), ends=calls, most=SEARCHED_NODES):
        call = node.metadata.get(KEY)
        if call is not None:
            calls.add(node)
            found.append(LossNode(call, node))
    return found if len(found) < 2 else sorted(found, key=lambda item: item.node._sequence_nr())


def forget(found: list[LossNode]) -> None:
    """Removes loss calls from the graph when their backward pass is over. A loss that is kept does not keep the logits then."""
    for item in found:
        item.node.metadata.pop(KEY, None)


def leaves(roots: list[Tensor]) -> list[Tensor]:
    """Returns the leaf tensors (parameters) in the graphs of ``roots``, each once."""
    variables: dict[int, Tensor] = {}
    for node in all_nodes(roots):
        if type(node) is Leaf:
            variable = node.variable
            variables[id(variable)] = variable
    return list(variables.values())


def recomputes_unseen(roots: list[Tensor]) -> bool:
    """Says whether the graphs of ``roots`` hold reentrant checkpoints, whose layers are not in the graph."""
    return any(type(node).__name__ == "CheckpointFunctionBackward" for node in all_nodes(roots))


def all_nodes(roots: Sequence[Tensor]) -> Iterator[Node]:
    """Yields each node of the graphs of ``roots`` once, also those below a loss call."""
    return walk(map(edge_of, roots), most=SEARCHED_NODES)


def nodes_above_losses(roots: Sequence[Tensor]) -> Iterator[Node]:
    """Yields each node of the graphs of ``roots`` once, as far as the nodes of loss calls."""
    calls: set[Node] = set()
    for node in walk(map(edge_of, roots), ends=calls, most=SEARCHED_NODES):
        if KEY in node.metadata:
            calls.add(node)
        yield node
