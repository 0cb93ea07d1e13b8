"""Given: the labels that a loss module was given, the tensors whose rows they belong to, and whether a batch holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gradlens.batch.labelled import Labelled
from gradlens.tracking.find.evidence import Evidence
from gradlens.tracking.find.mixing import joined
from gradlens.tracking.provenance.given_labels import GivenLabels, came_from, readings
from gradlens.tracking.provenance.logits import logits_of
from gradlens.tracking.provenance.loss_modules import ModuleCall
from gradlens.tracking.provenance.void_pixels import void_label


@dataclass(frozen=True)
class Given:
    """Labels that a loss module was given, and the tensors whose rows they belong to."""

    call: ModuleCall
    anchors: tuple[Tensor, ...]
    labels: GivenLabels

    @property
    def anchor(self) -> Tensor:
        """The first of the tensors, which the labels were read by."""
        return self.anchors[0]


def given_to(call: ModuleCall) -> list[Given]:
    """Returns what the target of a call may mean, with the anchor that its rows belong to."""
    anchors = _anchors(call)
    for anchor in anchors:
        if found := readings(call.target, anchor):
            # A loss may be given features beside logits. Both have a row for each sample.
            beside = [other for other in anchors if other is not anchor] if found[0].labels.ndim == 1 else []
            return [Given(call, (anchor, *beside), each) for each in found]
    return []


def _anchors(call: ModuleCall) -> list[Tensor]:
    """Returns the anchors of a call: its arguments with a row for each sample, or else such a result.

    The result is better than the arguments if the module has parameters: then these have a gradient of each group, too.
    """
    rows = len(call.target) if call.target.ndim else 0
    of_rows = [result for result in call.results if result.ndim and len(result) == rows]
    scalars = [result for result in call.results if not result.ndim]
    arguments = [argument for argument in call.arguments if argument.ndim and len(argument) == rows]
    trained = any(param.requires_grad for param in call.module.parameters())
    if arguments:
        return of_rows if trained and len(of_rows) == 1 else arguments
    return of_rows if scalars or (len(of_rows) == 1 and of_rows[0].ndim == 1) else []


def agree(given: Given, source: Tensor) -> bool:
    """Says whether labels are those that lie at a place in a batch, in whatever form."""
    if source.ndim == 0 or source.is_complex():
        return False
    labels = given.labels.labels
    if came_from(labels, source):
        return True
    if len(source) != len(given.anchor):
        return False
    # The batch may hold them in another form, such as one-hot. Thresholds are no form of a data set's labels.
    shape = given.call.target if given.call.target.shape == source.shape else given.anchor
    return any(came_from(labels, each.labels) for each in readings(source, shape) if not each.ranks)


def chance_of(labels: Tensor) -> float:
    """Returns the probability that labels with these frequencies, drawn at random, are the same; 1 if all are different.

    Where no label comes twice, they may be the samples' own ids.
    """
    flat = labels.detach().reshape(len(labels), -1).cpu()
    _, counts = torch.unique(flat, dim=0, return_counts=True)
    if len(counts) == len(flat) and flat.shape[1] == 1:
        return 1.0
    return float((counts.double() / len(flat)).square().sum() ** len(flat))


def evidence_of(found: Sequence[Given], source: str, *, columns_are_classes: bool) -> Evidence:
    """Returns the evidence of labels that come from one place.

    Args:
        found: The labels that loss modules were given, at least one.
        source: Where they come from, as text for the user.
        columns_are_classes: Whether the columns of the first anchor [B, C] are classes, and not those of an embedding.
    """
    first = found[0]
    anchors = list({id(anchor): anchor for each in found for anchor in each.anchors}.values())
    names = " + ".join(dict.fromkeys(type(each.call.module).__name__ for each in found))
    labels = first.labels.labels
    classes = _classes(first, columns_are_classes=columns_are_classes)
    same = all(
        each.labels.labels.shape == labels.shape and torch.equal(each.labels.labels, labels) for each in found[1:]
    )
    if same:
        ids = not labels.is_floating_point()
        logits = logits_of(anchors[0], columns_are_classes=columns_are_classes) if ids else None
        dim = first.labels.class_dim
        void = void_label(labels, classes)
        return Evidence(anchors, labels, void, classes, names, class_dim=dim, source=source, logits=logits)
    by_anchor = {id(anchor): each for each in reversed(found) for anchor in each.anchors}
    labelled = tuple(
        Labelled(a, by_anchor[id(a)].labels.labels, class_dim=by_anchor[id(a)].labels.class_dim) for a in anchors
    )
    once = joined(labelled, classes or 0)
    return Evidence(anchors, once, -100, classes, names, labelled=labelled, source=source)


def _classes(given: Given, *, columns_are_classes: bool) -> int | None:
    """Returns C as the form of the labels or the module tells it; None if neither does."""
    if given.labels.classes is not None:
        return given.labels.classes
    if columns_are_classes:
        return given.anchor.shape[1]
    largest = int(given.labels.labels.max()) + 1 if given.labels.labels.numel() else 1
    told = [vars(given.call.module).get(name) for name in ("num_classes", "n_classes")]
    return next((number for number in told if isinstance(number, int) and number >= largest), None)
