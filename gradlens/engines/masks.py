"""GroupCotangents: the cotangents of the anchors, restricted to the rows of one group after another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gradlens.autograd.cotangents import cotangents, cut
from gradlens.batch.rows import AnchorRows, Rows, mask_rows


class GroupCotangents:
    """Restricts what reaches the anchors to groups; the groups' parts and that of no group add up to all of it.

    Where several loss calls with labels of their own use one anchor, what flows through each call goes by its own labels. What
    reaches the anchor besides (a term that the script computes from the logits, or nothing but rounding) goes by the anchor's
    labels.
    """

    def __init__(self, loss: Tensor, anchors: Sequence[Tensor], rows: Rows) -> None:
        """Differentiates the loss down to the anchors, and leaves the graph in place.

        Args:
            loss: Scalar.
            anchors: Tensors of its graph.
            rows: Their rows by group.
        """
        direct = cotangents(loss, anchors)
        parts = rows.parts or (None,) * len(anchors)
        # For each anchor: what reaches it, and the rows by which it goes.
        self._by_rows: list[list[tuple[Tensor, Rows]]] = []
        for anchor, whole, part in zip(anchors, direct, parts, strict=True):
            if whole is None:
                self._by_rows.append([])
            elif part is None:
                self._by_rows.append([(whole, rows)])
            elif not part.terms:
                self._by_rows.append([(whole, part.rows)])
            else:
                self._by_rows.append(_of_terms(loss, anchors, anchor, whole, part))

    def of(self, group: int) -> list[Tensor | None]:
        """Returns one cotangent for each anchor, None where nothing reaches it."""
        return [
            _summed([mask_rows(g, rows.weights[..., group], rows.class_dim) for g, rows in pairs])
            for pairs in self._by_rows
        ]


def _of_terms(
    loss: Tensor, anchors: Sequence[Tensor], anchor: Tensor, whole: Tensor, part: AnchorRows
) -> list[tuple[Tensor, Rows]]:
    edges = [edge for edge, _ in part.terms]
    with cut(anchors):
        weights: Sequence[Tensor | None] = torch.autograd.grad(loss, edges, retain_graph=True, allow_unused=True)
    found: list[tuple[Tensor, Rows]] = []
    for (edge, rows), weight in zip(part.terms, weights, strict=True):
        if weight is None:
            continue
        with cut([other for other in anchors if other is not anchor]):
            own: Sequence[Tensor | None] = torch.autograd.grad(
                [edge], [anchor], [weight], retain_graph=True, allow_unused=True
            )
        found += [(cotangent, rows) for cotangent in own if cotangent is not None]
    besides = whole
    for cotangent, _ in found:
        besides = besides - cotangent
    return [*found, (besides, part.rows)]


def _summed(parts: list[Tensor]) -> Tensor | None:
    return None if not parts else parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)
