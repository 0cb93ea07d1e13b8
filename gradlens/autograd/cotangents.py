"""Computes the cotangents of the anchors (the gradients of a loss at them), and finds what reaches parameters past them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


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
        return list(torch.autograd.grad(loss, anchors, retain_graph=True, allow_unused=True))
    found: list[Tensor | None] = []
    for anchor in anchors:
        with cut([other for other in anchors if other is not anchor]):
            found += torch.autograd.grad(loss, [anchor], retain_graph=True, allow_unused=True)
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
    """Says whether the loss reaches a parameter on a path around the anchors (a penalty on the weights, say).

    It walks the graph's structure only: no arithmetic, no synchronisation, and it stops at the anchors, so the network
    below them is never visited.
    """
    stops = {(anchor.grad_fn, anchor.output_nr) for anchor in anchors}
    targets = {id(param) for param in params}
    stack: list[tuple[Any, int]] = [(loss.grad_fn, loss.output_nr)]
    seen: set[tuple[Any, int]] = set()
    while stack:
        edge = stack.pop()
        node = edge[0]
        if node is None or edge in seen or edge in stops:
            continue
        seen.add(edge)
        if id(getattr(node, "variable", None)) in targets:
            return True
        stack.extend(node.next_functions)
    return False


def nearest_parameters(anchor: Tensor, params: Sequence[nn.Parameter]) -> list[int]:
    """Returns the indices of the parameters that a pull-back from the anchor reaches without crossing the network.

    These are the parameters of the layer next to the anchor whose gradient is complete there: only one place of the graph
    uses them, so a pull-back restricted to them is cheap. Empty when there are none.
    """
    index_of = {id(param): index for index, param in enumerate(params)}
    uses: dict[int, int] = {}
    depth_of: dict[int, int] = {}
    level: list[Any] = [anchor.grad_fn]
    seen: set[Any] = set()
    depth = 0
    while level:
        following: list[Any] = []
        for node in level:
            if node is None or node in seen:
                continue
            seen.add(node)
            for child, _ in node.next_functions:
                found = index_of.get(id(getattr(child, "variable", None)))
                if found is None:
                    following.append(child)
                else:
                    uses[found] = uses.get(found, 0) + 1
                    depth_of.setdefault(found, depth)
        level, depth = following, depth + 1
    single = {found: depth_of[found] for found, count in uses.items() if count == 1}
    if not single:
        return []
    # One layer's weight and bias can hang a node apart (the weight behind a transpose).
    return sorted(found for found, at in single.items() if at <= min(single.values()) + 1)
