"""group_gradients: computes every group's gradient of one loss, for notebooks and tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from gradlens.autograd.graph import Edge, edge_of, walk
from gradlens.autograd.inner_products import dense
from gradlens.autograd.parameter_hooks import silenced
from gradlens.batch.rows import LabelsError, dense_labels, group_rows, mask_rows, rows_around_classes, rows_lead
from gradlens.groups import ClassGroups
from gradlens.guards.script_hooks import own_pass_over
from gradlens.measure.preflight.preflight import nodes_of


def group_gradients(
    model: nn.Module,
    loss: Tensor,
    labels: Tensor,
    groups: ClassGroups,
    outputs: Tensor | None = None,
    *,
    ignore_index: int = -100,
) -> dict[str, dict[str, Tensor]]:
    """Returns each group's gradient. ``.grad`` stays as it is, and ``loss.backward()`` can follow.

    The groups' gradients, with ``rest`` if there is one, add up to the gradient of the loss.

    Args:
        model: The model that the loss was computed with.
        loss: Scalar with its graph.
        labels: [B] or [B, T] class ids, or [B, C] class masses.
        groups: The groups.
        outputs: The tensor whose rows are the samples. By default it is found in the loss's graph: the tensors nearest to
            the loss whose shape has the labels' rows and the classes (the input of log-softmax, or log-softmax itself; one
            for each head and each term). If there are none, the nearest tensor with the labels' rows and another dimension.
        ignore_index: The label of rows that are no samples.

    Returns:
        {group: {parameter name: gradient}} for the groups that have samples in the batch, and "rest" if a part of the
        gradient belongs to no group.

    Raises:
        LabelsError: The labels do not fit, no tensor in the graph fits, or the loss has no graph.
        ValueError: No parameter has requires_grad.

    Example:
        >>> import torch
        >>> from gradlens import ClassGroups, group_gradients
        >>> model = torch.nn.Linear(2, 2, bias=False)
        >>> x, y = torch.eye(2), torch.tensor([0, 1])
        >>> loss = torch.nn.functional.cross_entropy(model(x), y)
        >>> found = group_gradients(model, loss, y, ClassGroups({"head": [0], "tail": [1]}, 2))
        >>> list(found)
        ['head', 'tail']
        >>> loss.backward()
        >>> torch.allclose(found["head"]["weight"] + found["tail"]["weight"], model.weight.grad)
        True
    """
    labels = dense_labels(labels)
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not named:
        raise ValueError("the model has no parameter that wants a gradient; unfreeze some before computing the loss")
    if loss.grad_fn is None:
        raise LabelsError(
            "the loss has no graph: it was detached, or computed under no_grad; give what backward would run on"
        )
    with own_pass_over(nodes_of([loss])):
        return _by_group(loss, labels, groups, outputs, named, ignore_index)


def _by_group(
    loss: Tensor,
    labels: Tensor,
    groups: ClassGroups,
    outputs: Tensor | None,
    named: list[tuple[str, nn.Parameter]],
    ignore_index: int,
) -> dict[str, dict[str, Tensor]]:
    params = [param for _, param in named]
    anchors: list[Any] = [outputs] if outputs is not None else _anchor_edges(loss, labels, groups.num_classes)
    seeds = [_direct(loss, anchor, [other for other in anchors if other is not anchor]) for anchor in anchors]
    if all(seed is None for seed in seeds):
        raise LabelsError("the loss does not depend on the given outputs; give the tensor that it was computed from")
    reached = [(anchor, seed) for anchor, seed in zip(anchors, seeds, strict=True) if seed is not None]
    rows = group_rows(labels, groups, reached[0][1], ignore_index)

    def pulled(weights: Tensor | None) -> tuple[Tensor | None, ...]:
        masked = [seed if weights is None else mask_rows(seed, weights) for _, seed in reached]
        with silenced(params):
            return torch.autograd.grad([a for a, _ in reached], params, masked, retain_graph=True, allow_unused=True)

    found: dict[str, dict[str, Tensor]] = {}
    for k, name in enumerate(groups.names):
        if rows.counts[k] > 0:
            found[name] = _named(named, pulled(rows.weights[..., k]))
    with silenced(params):
        whole = torch.autograd.grad(loss, params, retain_graph=True, allow_unused=True)
    through = pulled(None)
    around = [_rest(g, t) for g, t in zip(whole, through, strict=True)]
    if rows.untracked > 0:
        outside = pulled((1 - rows.weights.sum(-1)).clamp(min=0))
        around = [a if o is None else o if a is None else a + o for a, o in zip(around, outside, strict=True)]
    if any(g is not None and bool(torch.linalg.vector_norm(dense(g)) > 0) for g in around):
        found["rest"] = _named(named, tuple(around))
    return found


def _rest(whole: Tensor | None, through: Tensor | None) -> Tensor | None:
    return whole if through is None else None if whole is None else whole - through


def _named(named: list[tuple[str, nn.Parameter]], grads: tuple[Tensor | None, ...]) -> dict[str, Tensor]:
    pairs = zip(named, grads, strict=True)
    return {name: torch.zeros_like(p) if g is None else g for (name, p), g in pairs}


def _direct(loss: Tensor, anchor: Any, others: Sequence[Any]) -> Tensor | None:
    """Returns dL/d(anchor) without the part that flows through other anchors, like ``autograd.cotangents.cotangents``."""

    def closed(number: int) -> Callable[[tuple[Tensor | None, ...]], tuple[Tensor | None, ...]]:
        return lambda grads: tuple(
            torch.zeros_like(g) if i == number and g is not None else g for i, g in enumerate(grads)
        )

    handles = [other.node.register_prehook(closed(other.output_nr)) for other in others]
    try:
        return torch.autograd.grad(loss, [anchor], retain_graph=True, allow_unused=True)[0]
    finally:
        for handle in handles:
            handle.remove()


def _anchor_edges(loss: Tensor, labels: Tensor, classes: int) -> list[GradientEdge]:
    """Finds the places in the loss's graph whose shape has the rows and the classes: on every path the one nearest the loss.

    If there are none, returns the nearest place with the rows and any other dimension. That is the second choice, because a
    penalty on a weight looks like such a place if the weight happens to have as many rows as the batch.

    Raises:
        LabelsError: There is no such place either.
    """
    rows = labels.shape[:-1] if labels.is_floating_point() and labels.ndim == 2 else labels.shape
    found: dict[Edge, GradientEdge] = {}
    nearest: GradientEdge | None = None
    for node, number in walk([edge_of(loss)], by_edge=True, ends=found, leaves=False, nearest_first=True):
        metadata = getattr(node, "_input_metadata", ())
        shape = torch.Size(metadata[number].shape) if number < len(metadata) else torch.Size()
        lead, around = rows_lead(shape, rows) and len(shape) > len(rows), rows_around_classes(shape, rows)
        if (lead and shape[len(rows) :] == (classes,)) or (around and shape[1] == classes):
            found[node, number] = GradientEdge(node, number)
        elif nearest is None and (lead or around):
            nearest = GradientEdge(node, number)
    if found or nearest is not None:
        return list(found.values()) or [nearest]  # type: ignore[list-item]
    raise LabelsError(
        f"no tensor of the loss's graph has the rows of labels of shape {list(labels.shape)} and a dimension for classes; "
        "name it: group_gradients(model, loss, labels, groups, outputs=logits)"
    )
