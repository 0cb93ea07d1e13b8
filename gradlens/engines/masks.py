"""GroupCotangents: the gradients of a loss at the anchors, masked to the rows of a group."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gradlens.autograd.cotangents import AnchoredLosses, cut
from gradlens.batch.rows import AnchorRows, RowsByGroup, mask_rows, mask_rows_by_group


class GroupCotangents:
    """Masks the gradient at each anchor to the rows of one group. The parts of all groups and of no group add up to it.

    Several loss calls may use one anchor, each with its own labels (mixup). Then the gradient that comes through a call is
    masked by the labels of that call. The rest of the gradient at the anchor is masked by the anchor's own labels: it comes
    from a term that the script computes from the logits, or is only rounding.
    """

    def __init__(self, passed: AnchoredLosses, component: int, rows: RowsByGroup) -> None:
        """Takes the gradient of a loss at the anchors. The graph stays in place.

        Args:
            passed: The losses of the backward pass and its anchors.
            component: Which of the losses.
            rows: Which of the anchors' rows belong to which group.
        """
        loss, anchors, direct = passed.losses[component], passed.anchors, passed.cotangents(component)
        parts = rows.parts or (None,) * len(anchors)
        # For each anchor: pairs of a part of its gradient and the rows that mask this part.
        self._by_rows: list[list[tuple[Tensor, RowsByGroup]]] = []
        for anchor, whole, part in zip(anchors, direct, parts, strict=True):
            if whole is None:
                self._by_rows.append([])
            elif part is None:
                self._by_rows.append([(whole, rows)])
            elif not part.terms:
                self._by_rows.append([(whole, part.rows)])
            else:
                self._by_rows.append(_of_terms(loss, anchors, anchor, whole, part))

    def by_group(self, groups: Sequence[int]) -> list[Tensor | None]:
        """Returns for each anchor [V, *anchor]: its gradient masked to V groups; None for an anchor without a gradient."""
        return [
            _summed([mask_rows_by_group(g, _weights(g, rows)[..., list(groups)], rows.class_dim) for g, rows in pairs])
            for pairs in self._by_rows
        ]

    def of(self, group: int) -> list[Tensor | None]:
        """Returns for each anchor its gradient masked to a group; None for an anchor without a gradient."""
        return [
            _summed([mask_rows(g, _weights(g, rows)[..., group], rows.class_dim) for g, rows in pairs])
            for pairs in self._by_rows
        ]


def _weights(cotangent: Tensor, rows: RowsByGroup) -> Tensor:
    """Returns the weights of the rows. Zeros and ones are exact in any precision, so the product need not be a wider copy."""
    return rows.weights.to(cotangent.dtype) if rows.whole and cotangent.is_floating_point() else rows.weights


def _of_terms(
    loss: Tensor, anchors: Sequence[Tensor], anchor: Tensor, whole: Tensor, part: AnchorRows
) -> list[tuple[Tensor, RowsByGroup]]:
    edges = [edge for edge, _ in part.terms]
    with cut(anchors):
        weights: Sequence[Tensor | None] = torch.autograd.grad(loss, edges, retain_graph=True, allow_unused=True)
    found: list[tuple[Tensor, RowsByGroup]] = []
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
