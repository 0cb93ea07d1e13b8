"""Sightings: loss calls of the forward pass, remembered by the autograd graph itself.

A sighting lies in the metadata of the graph node that the loss call made. So it lives exactly as long as the graph, is
found again from whatever loss the script differentiates, and an evaluation that nobody differentiates leaves nothing.
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
# Nodes of a loss's graph that are searched: enough for any model, and a bound on the time that a search can take.
SEARCHED_NODES = 200_000


@dataclass(frozen=True)
class Sighting:
    """One loss call.

    Attributes:
        anchor: The logits, or log-probabilities, that went in.
        labels: The labels that went in.
        ignore_index: The label that the loss ignores.
        function: Name of the loss function.
    """

    anchor: Tensor
    labels: Tensor
    ignore_index: int
    function: str


@dataclass(frozen=True)
class Found:
    """A sighting in the graph of a loss, with the graph node of its call."""

    sighting: Sighting
    node: Any

    @property
    def edge(self) -> GradientEdge:
        """Where the result of the call lies in the graph."""
        return GradientEdge(self.node, 0)


def is_trained(logits: Any, labels: Any, output: Any) -> bool:
    """Says whether a loss call may belong to a training step, and whether its tensors can be looked at.

    Inside a transform of torch.func tensors are wrappers that must not outlive it.
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


def attach(sighting: Sighting, output: Tensor) -> None:
    """Leaves a sighting at the graph node that made ``output``."""
    node: Any = output.grad_fn
    if node is not None:
        node.metadata[KEY] = sighting


def find(roots: list[Tensor]) -> list[Found]:
    """Returns the sightings in the graphs of ``roots``, in the order of the forward pass."""
    found: list[Found] = []
    calls: set[Node] = set()  # another loss call below one is none of its own
    for node in walk(map(edge_of, roots), ends=calls, most=SEARCHED_NODES):
        sighting = node.metadata.get(KEY)
        if sighting is not None:
            calls.add(node)
            found.append(Found(sighting, node))
    return found if len(found) < 2 else sorted(found, key=lambda item: item.node._sequence_nr())


def forget(found: list[Found]) -> None:
    """Drops sightings whose backward pass is over, so that a kept loss does not keep the logits."""
    for item in found:
        item.node.metadata.pop(KEY, None)


def leaves(roots: list[Tensor]) -> list[Tensor]:
    """Returns the leaf tensors (parameters) that the graphs of ``roots`` reach."""
    variables: dict[int, Tensor] = {}
    for node in all_nodes(roots):
        if type(node) is Leaf:
            variable = node.variable
            variables[id(variable)] = variable
    return list(variables.values())


def recomputes_unseen(roots: list[Tensor]) -> bool:
    """Says whether the graphs of ``roots`` hold reentrant checkpoints, whose layers are no part of the graph."""
    return any(type(node).__name__ == "CheckpointFunctionBackward" for node in all_nodes(roots))


def all_nodes(roots: Sequence[Tensor]) -> Iterator[Node]:
    """Yields the nodes of the graphs of ``roots``, each once, also those below a loss call."""
    return walk(map(edge_of, roots), most=SEARCHED_NODES)


def nodes_above_losses(roots: Sequence[Tensor]) -> Iterator[Node]:
    """Yields the nodes of the graphs of ``roots``, each once, down to those of loss calls."""
    calls: set[Node] = set()
    for node in walk(map(edge_of, roots), ends=calls, most=SEARCHED_NODES):
        if KEY in node.metadata:
            calls.add(node)
        yield node
