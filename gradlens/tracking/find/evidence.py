"""Evidence: decides which tensors of a backward pass are anchors, and which are their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from gradlens.autograd.graph import Edge
from gradlens.batch.labelled import Labelled, LossTerm
from gradlens.batch.members import NO_SAMPLE
from gradlens.tracking.find.classifiers import classifier_of, origin_of
from gradlens.tracking.find.loss_calls import LossCall, LossNode
from gradlens.tracking.find.mixing import joined, masses, mixed, share_of, weights_of
from gradlens.tracking.find.targets import IGNORED


@dataclass(frozen=True)
class Evidence:
    """The anchors and labels of one backward pass.

    Attributes:
        anchors: Tensors whose rows are samples.
        labels: [*R] class ids of those rows, or [R, C] class masses. If the anchors have labels of their own: the labels of all
            samples, each sample once.
        ignore_index: The label that the loss ignores.
        num_classes: C; None if only the data can tell it.
        function: Where the anchors were seen, as text for the user.
        left_out: Number of loss calls with other labels, which count as ``rest``.
        class_dim: The dimension of the anchors that holds the classes; None if it is not known.
        labelled: The anchors, each with labels of its own; () if all have the same labels.
        source: Where the labels come from, as text for the user; "" if from the calls that ``function`` names.
        logits: The tensor that loss and hits are counted from; an empty one if there is none; None if it is the anchor with C
            columns.
        members: [n] values of the attribute that the groups are made of, for the rows of ``labels``; None for groups of
            classes. Anchors with labels of their own have their own values, too.
    """

    anchors: list[Tensor]
    labels: Tensor
    ignore_index: int
    num_classes: int | None
    function: str
    left_out: int = 0
    class_dim: int | None = None
    labelled: tuple[Labelled, ...] = ()
    source: str = ""
    logits: Tensor | None = None
    members: Tensor | None = None

    @property
    def grouped(self) -> Tensor:
        """What the groups are made of: the values of an attribute, or the labels."""
        return self.labels if self.members is None else self.members

    @property
    def dims(self) -> int:
        """Number of dimensions of the rows: 1, or more if a sample has several rows (tokens, pixels)."""
        return self.labels.ndim - self.labels.is_floating_point()

    @property
    def by_mass(self) -> bool:
        """Whether each row's contribution is divided by class masses, because its loss terms cannot be separated."""
        return self.labels.is_floating_point() and not any(item.terms for item in self.labelled)


def weigh(found: Sequence[LossNode], roots: Sequence[Tensor], num_classes: int | None) -> Evidence | None:
    """Returns the evidence of the loss calls in a graph; None if no call fits.

    The gradient that flows through a call belongs to the groups of the call's own labels. Three kinds of calls are measured:

    - the first call,
    - calls on logits of the same classifier (chunks of a batch, time steps, further batches, mixup),
    - calls of other classifiers with the same labels as one of these (auxiliary heads).

    Other calls are about other classes. They are left out, and counted.

    Samples are counted at the first classifier. Calls on the same logits are about the same samples: each sample is divided
    among their labels, by the weights of the losses in the total. Calls with the same tensor of labels are about the same
    samples, too, and so are calls whose labels are all equal (two views of a batch, or passes of a recurrent refinement): such
    samples count once. Otherwise the rows of each call are samples of their own.

    Args:
        found: Loss calls in the order of the forward pass.
        roots: The tensors on which backward runs.
        num_classes: C of the run; calls over another number of classes are left out. None if it is not known yet.
    """
    fitting = [item for item in found if num_classes is None or class_count(item.call) == num_classes]
    if not fitting:
        return None
    own, others = _of_first(fitting)
    classes = class_count(fitting[0].call)
    shares = _shares(own, roots) | {id(item): 0.0 for item in others}
    by_anchor: dict[int, list[LossNode]] = {}
    for item in fitting:
        if id(item) in shares:
            by_anchor.setdefault(id(item.call.anchor), []).append(item)
    labelled = [_labelled(calls, roots, classes, shares) for calls in by_anchor.values()]
    left_out = len(found) - len(own) - len(others)
    return _evidence(labelled, classes, own, left_out)


def observed(named: Sequence[tuple[Tensor, Tensor]], num_classes: int | None) -> Evidence:
    """Returns the evidence of the pairs that the script has named with ``gradlens.observe``.

    The last pair is measured, and all pairs with the same labels or from the same layer (chunks, time steps), each with its own
    labels. Samples are counted as in ``weigh``.

    Args:
        named: (outputs, labels), at least one pair. If a tensor was named twice, its last labels count.
        num_classes: C of the run; None if it is not known yet. Then masses have a column for each class, and for class ids the
            data must tell C.
    """
    pairs = list({id(outputs): (outputs, labels) for outputs, labels in named}.values())
    last, labels = named[-1]
    layer = classifier_of(last)
    own = [pair for pair in pairs if pair[0] is last or _same(pair[1], labels) or layer & classifier_of(pair[0])]
    classes = num_classes or (labels.shape[min(1, labels.ndim - 1)] if labels.is_floating_point() else None)
    left_out = len(pairs) - len(own)
    if all(_same(its, labels) for _, its in own):
        return Evidence([outputs for outputs, _ in own], labels, -100, classes, "gradlens.observe", left_out)
    given: set[tuple[Any, ...]] = set()
    labelled: list[Labelled] = []
    for outputs, its in own:
        labelled.append(Labelled(outputs, its, share=float(_place(its) not in given)))
        given.add(_place(its))
    once = joined([item for item in labelled if item.share], classes or 0)
    names = f"{len(own)} calls of gradlens.observe"
    return Evidence([outputs for outputs, _ in own], once, -100, classes, names, left_out, labelled=tuple(labelled))


def within(evidence: Evidence, classes: int) -> Evidence:
    """Returns the evidence with all class ids from ``classes`` on ignored. These classes belong to no group."""
    if evidence.labels.is_floating_point() or not bool((evidence.labels >= classes).any()):
        return evidence
    labelled = tuple(replace(item, labels=_ignored(item.labels, classes)) for item in evidence.labelled)
    return replace(evidence, labels=_ignored(evidence.labels, classes), ignore_index=IGNORED, labelled=labelled)


def within_values(evidence: Evidence, count: int) -> tuple[Evidence, str | None]:
    """Returns the evidence with all values of the attribute from ``count`` on in no group, and a line for the user, or None."""
    assert evidence.members is not None
    later = evidence.members[evidence.members >= count]
    if not len(later):
        return evidence, None
    labelled = tuple(replace(item, members=_inside(item.members, count)) for item in evidence.labelled)
    found = replace(evidence, members=_inside(evidence.members, count), labelled=labelled)
    return found, f"values such as {int(later[0])}, which no group names, count as 'rest'"


def _inside(members: Tensor | None, count: int) -> Tensor | None:
    return None if members is None else torch.where(members < count, members, NO_SAMPLE)


def _ignored(labels: Tensor, classes: int) -> Tensor:
    return torch.where(labels < classes, labels, IGNORED)


def class_count(call: LossCall) -> int:
    """Returns C of a loss call: logits are [C], [B, C] or [B, C, ...]."""
    return int(call.anchor.shape[class_dim(call)])


def class_dim(call: LossCall) -> int:
    """Returns the dimension of a loss call's logits that holds the classes, as torch defines it: 0 for [C], otherwise 1."""
    return min(1, call.anchor.ndim - 1)


def _of_first(calls: Sequence[LossNode]) -> tuple[list[LossNode], list[LossNode]]:
    """Returns the calls of the first call's classifier, and the calls of others that have the same labels as one of these."""
    if len(calls) == 1:
        return list(calls), []
    first = calls[0].call.anchor
    origin, classifier = origin_of(first), classifier_of(first)
    own: list[LossNode] = []
    strangers: list[LossNode] = []
    for item in calls:
        anchor = item.call.anchor
        related = anchor is first or origin_of(anchor) == origin or bool(classifier & classifier_of(anchor))
        (own if related else strangers).append(item)
    known = [item.call.labels for item in own]
    return own, [item for item in strangers if any(_same(item.call.labels, labels) for labels in known)]


def _shares(own: Sequence[LossNode], roots: Sequence[Tensor]) -> dict[int, float | Tensor]:
    """Returns {id of a call: the part of a sample that each of its rows counts as}."""
    if all(_same(item.call.labels, own[0].call.labels) for item in own[1:]):
        return {id(item): float(item is own[0]) for item in own}
    found: dict[int, float | Tensor] = {}
    given: set[tuple[Any, ...]] = set()
    by_origin: dict[Edge, list[LossNode]] = {}
    for item in own:
        by_origin.setdefault(origin_of(item.call.anchor), []).append(item)
    for calls in by_origin.values():
        places = {_place(item.call.labels) for item in calls}
        again = places <= given
        given |= places
        if again or all(item.call.anchor is calls[0].call.anchor for item in calls) or len(_distinct(calls)) == 1:
            found |= {id(item): float(item is calls[0] and not again) for item in calls}
        else:
            weights = weights_of(calls, roots)
            found |= {id(item): share_of(n, weights) for n, item in enumerate(calls)}
    return found


def _labelled(
    calls: Sequence[LossNode], roots: Sequence[Tensor], classes: int, shares: dict[int, float | Tensor]
) -> Labelled:
    """Returns an anchor with the labels of its calls. If they are different, each row is divided among them."""
    first, dim = calls[0].call, class_dim(calls[0].call)
    distinct = _distinct(calls)
    counted = [share for item in calls if isinstance(share := shares[id(item)], Tensor) or share]
    if len(distinct) == 1:
        share = 0.0 if not counted else counted[0] if len(counted) == 1 else _sum(counted)
        return Labelled(first.anchor, first.labels, first.ignore_index, dim, share)
    terms = [LossTerm(item.edge, item.call.labels, item.call.ignore_index) for item in calls]
    labels = mixed([masses(term.labels, classes, dim) for term in terms], weights_of(calls, roots), dim)
    return Labelled(first.anchor, labels, -100, dim, _sum(counted) if counted else 0.0, tuple(terms))


def _evidence(labelled: Sequence[Labelled], classes: int, own: Sequence[LossNode], left_out: int) -> Evidence:
    first = labelled[0]
    anchors = [item.anchor for item in labelled]
    function = own[0].call.function
    alike = all(not item.terms and _same(item.labels, first.labels) for item in labelled)
    once = [item for item in labelled if isinstance(item.share, Tensor) or item.share]
    if alike and len(once) == 1:
        return Evidence(anchors, first.labels, first.ignore_index, classes, function, left_out, first.class_dim)
    names = f"{len(own)} {function} calls"
    return Evidence(anchors, joined(once, classes), -100, classes, names, left_out, labelled=tuple(labelled))


def _distinct(calls: Sequence[LossNode]) -> list[LossNode]:
    """Returns the calls with different labels: the first of all that have the same."""
    found: list[LossNode] = []
    for item in calls:
        if not any(_same(item.call.labels, other.call.labels) for other in found):
            found.append(item)
    return found


def _sum(shares: Sequence[float | Tensor]) -> float | Tensor:
    total = shares[0]
    for share in shares[1:]:
        total = total + share
    return total


def _place(labels: Tensor) -> tuple[Any, ...]:
    """Returns a key that is equal for two tensors that show the same memory in the same way."""
    return labels.data_ptr(), labels.shape, labels.stride(), labels.dtype, labels.device


def _same(a: Tensor, b: Tensor) -> bool:
    if a is b or _place(a) == _place(b):
        return True
    return (a.shape, a.dtype, a.device) == (b.shape, b.dtype, b.device) and bool(a.equal(b))
