"""group_gradients: every group's gradient of one loss, once, for notebooks and tests."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from gradlens.groups import ClassGroups
from gradlens.rows import LabelsError, group_rows, mask_rows, rows_around_classes, rows_lead


def group_gradients(
    model: nn.Module,
    loss: Tensor,
    labels: Tensor,
    groups: ClassGroups,
    outputs: Tensor | None = None,
    *,
    ignore_index: int = -100,
) -> dict[str, dict[str, Tensor]]:
    """Returns each group's gradient; ``.grad`` stays as it is and ``loss.backward()`` can follow.

    The contributions, with ``rest`` if there is one, add up to the gradient of the loss.

    Args:
        model: The model that the loss was computed with.
        loss: Scalar with its graph.
        labels: [B] class ids (or [B, T]), or [B, C] class masses.
        groups: The groups.
        outputs: The tensor whose rows are the samples; by default the tensor of the loss's graph that is nearest the loss
            and has the labels' rows and a dimension more (the input of log-softmax, or log-softmax itself).
        ignore_index: The label that belongs to no sample.

    Returns:
        {group: {parameter name: gradient}} for the groups that have samples in the batch, and "rest" where the loss
        reaches parameters outside every group.

    Raises:
        LabelsError: Labels that do not fit, or no fitting tensor in the graph.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    params = [param for _, param in named]
    anchor: Any = outputs if outputs is not None else _anchor_edge(loss, labels)
    cotangent = torch.autograd.grad(loss, [anchor], retain_graph=True, allow_unused=True)[0]
    if cotangent is None:
        raise LabelsError("the loss does not depend on the given outputs; give the tensor that it was computed from")
    rows = group_rows(labels, groups, cotangent, ignore_index)

    def pulled(seed: Tensor) -> tuple[Tensor | None, ...]:
        return torch.autograd.grad([anchor], params, [seed], retain_graph=True, allow_unused=True)

    found: dict[str, dict[str, Tensor]] = {}
    for k, name in enumerate(groups.names):
        if rows.counts[k] > 0:
            found[name] = _named(named, pulled(mask_rows(cotangent, rows.weights[..., k])))
    whole = torch.autograd.grad(loss, params, retain_graph=True, allow_unused=True)
    through = pulled(cotangent)
    around = [_rest(g, t) for g, t in zip(whole, through, strict=True)]
    if rows.untracked > 0:
        outside = pulled(mask_rows(cotangent, (1 - rows.weights.sum(-1)).clamp(min=0)))
        around = [a if o is None else o if a is None else a + o for a, o in zip(around, outside, strict=True)]
    if any(g is not None and bool(g.abs().max() > 0) for g in around):
        found["rest"] = _named(named, tuple(around))
    return found


def _rest(whole: Tensor | None, through: Tensor | None) -> Tensor | None:
    return whole if through is None else None if whole is None else whole - through


def _named(named: list[tuple[str, nn.Parameter]], grads: tuple[Tensor | None, ...]) -> dict[str, Tensor]:
    pairs = zip(named, grads, strict=True)
    return {name: torch.zeros_like(p) if g is None else g for (name, p), g in pairs}


def _anchor_edge(loss: Tensor, labels: Tensor) -> GradientEdge:
    """Finds the place in the loss's graph that is nearest the loss and has rows and classes."""
    rows = labels.shape[:-1] if labels.is_floating_point() and labels.ndim == 2 else labels.shape
    level: list[tuple[Any, int]] = [(loss.grad_fn, 0)]
    seen: set[Any] = set()
    while level:
        following: list[tuple[Any, int]] = []
        for node, number in level:
            if node is None or (node, number) in seen:
                continue
            seen.add((node, number))
            metadata = getattr(node, "_input_metadata", ())
            shape = torch.Size(metadata[number].shape) if number < len(metadata) else torch.Size()
            if (rows_lead(shape, rows) and len(shape) > len(rows)) or rows_around_classes(shape, rows):
                return GradientEdge(node, number)
            following += node.next_functions
        level = following
    raise LabelsError(
        f"no tensor of the loss's graph has the rows of labels of shape {list(labels.shape)} and a dimension for classes; "
        "name it: group_gradients(model, loss, labels, groups, outputs=logits)"
    )
