"""Finds the labels of a loss that is written by hand, in the operations between the model's output and the loss.

Many such operations keep their labels in the autograd graph: ``log_p.gather(1, y[:, None])``, ``logits[range(B), y]``,
``(one_hot * log_p).sum()``, binary cross-entropy, margin losses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from gradlens.autograd.graph import edge_of, walk
from gradlens.tracking.find.targets import IGNORED, cumulative, hardened, varies

# At most this many nodes between the model's output and the loss are searched.
SEARCHED = 2_000
# Operations whose target is a tensor of class ids [B], or of class masses [B, C].
_TARGETS = (
    "NllLossBackward0",
    "MultiMarginLossBackward0",
    "BinaryCrossEntropyWithLogitsBackward0",
    "BinaryCrossEntropyBackward0",
    "MseLossBackward0",
    "SmoothL1LossBackward0",
    "KlDivBackward0",
)
_ONE_VS_ALL = ("BinaryCrossEntropyWithLogitsBackward0", "BinaryCrossEntropyBackward0")
# The sum of a sample's masses may differ from one by this.
ROUNDING = 1e-3


def find_labels(
    roots: Sequence[Tensor],
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor] = (),
    refuse: Callable[[str], None] = lambda _: None,
) -> tuple[Tensor, Tensor] | None:
    """Returns (logits, labels): the output [B, C] and its class ids [B] or masses [B, C]; None if it is not certain.

    Args:
        roots: The tensors that are differentiated.
        outputs: The tensors that the model has returned.
        inputs: The tensors that the model was given. A target that is one of them is no label (an autoencoder).
        refuse: Is called with words that say what a target is instead of labels.
    """
    for output in outputs:
        if output.ndim != 2 or output.shape[1] < 2:
            continue
        rows, classes = output.shape
        found = list(_labels(roots, outputs, rows, classes, inputs, refuse))
        ids = [labels for labels in found if not labels.is_floating_point()]
        masses = [labels for labels in found if labels.is_floating_point()]
        for candidates in (ids, masses):
            if candidates and all(torch.equal(other, candidates[0]) for other in candidates[1:]):
                return output, candidates[0]
            if candidates:
                return None  # mixed samples, or several tasks: nothing says which labels are the samples' own
    return None


def _labels(
    roots: Sequence[Tensor],
    outputs: Sequence[Tensor],
    rows: int,
    classes: int,
    inputs: Sequence[Tensor],
    refuse: Callable[[str], None],
) -> Iterator[Tensor]:
    start = [edge_of(root) for root in roots]
    stops = {edge_of(output) for output in outputs}.difference(start)  # a model may return its loss
    for node in walk(start, stops=stops, most=SEARCHED):
        for labels in _kept(node, rows, classes):
            if labels.ndim == 2 and (labels.shape != (rows, classes) or _pairs(labels)):
                continue  # a matrix of samples and samples may look like one-hot labels, too
            found = _hardened(labels)
            if not _are_labels(found, rows, classes, several=node.name() in _ONE_VS_ALL):
                continue
            if found.is_floating_point() and (why := _why_not(found, inputs)):
                refuse(why)
            else:
                yield found


def _why_not(masses: Tensor, inputs: Sequence[Tensor]) -> str | None:
    """Returns words that say what [B, C] targets are instead of class masses; None if they are class masses."""
    if any(given.numel() == masses.numel() and torch.equal(given.reshape(masses.shape), masses) for given in inputs):
        return "are what the model was given"
    if varies(masses):
        return "vary continuously, as a teacher's outputs or an autoencoder's inputs do"
    return "are thresholds below a rank" if cumulative(masses) else None


def _kept(node: Any, rows: int, classes: int) -> Iterator[Tensor]:
    """Yields the tensors at a node that may be labels of ``rows`` samples."""
    name = node.name()
    if name == "GatherBackward0":
        index, source = node._saved_index, node._saved_self
        if source.shape == (rows, classes) and index.shape in ((rows, 1), (rows,)):
            yield index.reshape(rows)
    elif name == "IndexBackward0":
        indices = [index for index in node._saved_indices if index is not None]
        if tuple(node._saved_self_sym_sizes) == (rows, classes) and len(indices) == 2:
            row, label = indices
            if row.shape == label.shape == (rows,) and torch.equal(row, torch.arange(rows, device=row.device)):
                yield label
    elif name in _TARGETS:
        yield node._saved_target
    elif classes == 2 and name in ("WhereBackward0", "MaskedSelectBackward0", "MulBackward0"):
        return  # it may be the one-hot matrix of the labels, or that of the other class
    elif name == "WhereBackward0":
        yield node._saved_condition
    elif name == "MaskedSelectBackward0":
        yield node._saved_mask
    elif name == "MulBackward0":
        for factor in (node._saved_self, node._saved_other):
            if isinstance(factor, Tensor) and not factor.requires_grad:
                yield factor
                if factor.is_floating_point():
                    yield -factor  # (-targets * log_p).sum()


def _pairs(masks: Tensor) -> bool:
    """Says whether a square matrix marks pairs of samples: no sample with itself, and each pair in both orders."""
    values = masks.detach()
    return values.shape[0] == values.shape[1] and not bool(values.diagonal().any()) and torch.equal(values, values.T)


def _hardened(labels: Tensor) -> Tensor:
    """Returns class ids for a one-hot tensor; other tensors as they are, booleans and 0/1 integers as floats."""
    labels = labels.detach()
    if labels.ndim != 2:
        return labels
    if not labels.is_floating_point() and (labels.dtype == torch.bool or bool(((labels == 0) | (labels == 1)).all())):
        labels = labels.float()
    if not labels.is_floating_point():
        return labels
    return hardened(labels)


def _are_labels(labels: Tensor, rows: int, classes: int, *, several: bool) -> bool:
    if not labels.is_floating_point():
        return labels.shape == (rows,) and bool((((labels >= 0) & (labels < classes)) | (labels == IGNORED)).all())
    if labels.shape != (rows, classes) or bool((labels < 0).any()):
        return False
    # Rows that sum to one are mixed or smoothed labels. Only a one-vs-all loss may name several classes for a sample, or none.
    # In other operations such a matrix is a mask.
    if bool(((labels.sum(1) - 1).abs() < ROUNDING).all()):
        return True
    return several and bool(((labels <= 1).all()) & (labels.sum() > 0))
