"""Computes the cotangents of the anchors (the gradients of a loss at them), and finds what reaches parameters past them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gradlens.autograd.engine import differentiate
from gradlens.autograd.graph import Edge, Leaf, Node, edge_of, walk


class AnchoredLosses:
    """The losses of a backward pass and the tensors whose rows are its samples.

    Attributes:
        losses: The loss components.
        anchors: The tensors whose rows are samples.
    """

    def __init__(self, losses: Sequence[Tensor], anchors: Sequence[Tensor]) -> None:
        """Keeps its arguments.

        Args:
            losses: The loss components.
            anchors: The tensors whose rows are samples.
        """
        self.losses, self.anchors = losses, anchors
        self._found: dict[int, list[Tensor | None]] = {}

    def cotangents(self, component: int) -> list[Tensor | None]:
        """Returns what ``cotangents`` returns for a component. It is computed once; nobody may write to it."""
        if component not in self._found:
            self._found[component] = cotangents(self.losses[component], self.anchors)
        return self._found[component]

    def release(self) -> None:
        """Forgets the gradients at the anchors. With a large vocabulary, they need as much memory as the logits."""
        self._found.clear()


def cotangents(loss: Tensor, anchors: Sequence[Tensor]) -> list[Tensor | None]:
    """Returns the gradient of the loss at each anchor, without what passes through another anchor.

    One anchor may be computed from another (logits from features). With this rule, each path from the loss to a parameter
    counts once when all cotangents are pulled back.

    Args:
        loss: A scalar.
        anchors: Tensors in its graph.

    Returns:
        One tensor for each anchor, of its shape; None if the loss does not depend on it.
    """
    if len(anchors) == 1:
        return differentiate([loss], anchors, [None])
    found: list[Tensor | None] = []
    for anchor in anchors:
        with cut([other for other in anchors if other is not anchor]):
            found += differentiate([loss], [anchor], [None])
    return found


@contextmanager
def cut(anchors: Sequence[Tensor]) -> Iterator[None]:
    """Stops gradients at the anchors: backward passes inside the ``with`` block continue with zeros below them."""
    handles = [anchor.register_hook(_nothing_of) for anchor in anchors]  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _nothing_of(gradient: Tensor) -> Tensor:
    # torch.zeros_like itself would count as a hook of the script, which is not called in own passes.
    return torch.zeros_like(gradient)


def bypasses(loss: Tensor, anchors: Sequence[Tensor], params: Sequence[nn.Parameter]) -> bool:
    """Says whether the loss depends on a parameter in another way than through the anchors, such as a penalty on the weights.

    The walk ends at the anchors, so it never visits the network below them.
    """
    stops = {edge_of(anchor) for anchor in anchors}
    targets = {id(param) for param in params}
    for node, _ in walk([edge_of(loss)], by_edge=True, stops=stops):
        if type(node) is Leaf and id(node.variable) in targets:
            return True
    return False


def nearest_parameters(anchor: Tensor, params: Sequence[nn.Parameter]) -> list[int]:
    """Returns the indices of parameters whose gradients need only a short pull-back from the anchor; there may be none.

    These are parameters of the layer next to the anchor. Each is used at one place of the graph only, so its gradient is
    complete there.
    """
    index_of = {id(param): index for index, param in enumerate(params)}
    uses: dict[int, int] = {}
    depth_of: dict[int, int] = {}
    depths: dict[Node, int] = {anchor.grad_fn: 0}
    inputs: dict[Node, tuple[Edge, ...]] = {}
    for node in walk([edge_of(anchor)], leaves=False, nearest_first=True, inputs=inputs):
        depth = depths[node]
        for child, _ in inputs[node]:
            found = index_of.get(id(child.variable)) if type(child) is Leaf else None
            if found is None:
                depths.setdefault(child, depth + 1)
            else:
                uses[found] = uses.get(found, 0) + 1
                depth_of.setdefault(found, depth)
    single = {found: depth_of[found] for found, count in uses.items() if count == 1}
    if not single:
        return []
    # The weight of a layer may be one node further away than its bias (behind a transpose).
    near = min(single.values()) + 1
    return sorted(found for found, at in single.items() if at <= near)
