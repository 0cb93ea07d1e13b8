"""ChosenLabels: takes the labels and the anchor that the user has named with ``--labels`` and ``--anchor``."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from gradlens.batch.anchors import row_tensors
from gradlens.batch.rows import LabelsError
from gradlens.tracking.errors import WrongUse
from gradlens.tracking.find.batch_path import BatchPath, described, tensors_of
from gradlens.tracking.find.evidence import Evidence
from gradlens.tracking.find.loss_calls import LossNode, leaves
from gradlens.tracking.find.models import find_owners
from gradlens.tracking.find.observed_classes import told_by_graph
from gradlens.tracking.find.outputs import Outputs
from gradlens.tracking.provenance.batches import Batches
from gradlens.tracking.provenance.given_labels import GivenLabels, readings
from gradlens.tracking.provenance.logits import favours_labels, logits_of
from gradlens.tracking.provenance.void_pixels import void_label

# Masses of a row that add up to one differ from it by at most this.
ROUNDING = 1e-3
NAMED = 5


class ChosenLabels:
    """Finds the batch of a backward pass, and the labels in it; or only the outputs of the module that was named."""

    def __init__(
        self,
        place: BatchPath | None,
        anchor: str | None,
        batches: Batches,
        wanted: Callable[[], bool],
        fail: Callable[[Exception], None],
    ) -> None:
        """Keeps its arguments. The first backward pass begins to watch the model.

        Args:
            place: The place of the labels in a batch; None: they are found by other means.
            anchor: The name of the module whose output has a row for each sample; None: the model.
            batches: Keeps what the loaders yield.
            wanted: Says whether the outputs are needed now.
            fail: Is given each error of gradlens in the training's own forward pass.
        """
        self._place, self._anchor, self._batches = place, anchor, batches
        self._wanted, self._fail = wanted, fail
        self._model: Outputs | None = None
        self._module: Outputs | None = None
        # Whether the columns of the anchor are classes; None until the first labels.
        self._of_classes: bool | None = None

    @property
    def labels(self) -> bool:
        """Whether the user has named the place of the labels."""
        return self._place is not None

    def listen(self, wanted: bool) -> None:
        """Starts or stops the watch of the outputs: a hook costs time in every forward pass."""
        for outputs in (self._model, self._module):
            if outputs is not None:
                (outputs.resume if wanted else outputs.stop)()

    def stop(self) -> None:
        """Stops watching, and forgets everything."""
        self._batches.stop()
        for outputs in (self._model, self._module):
            if outputs is not None:
                outputs.stop()

    def evidence(self, found: Sequence[LossNode], roots: list[Tensor]) -> Evidence | None:
        """Returns the evidence of a backward pass by the labels that the user has named; None in the first pass.

        Args:
            found: The loss calls in its graph.
            roots: The tensors that are differentiated.

        Raises:
            WrongUse: There is no such place in the batch, or no such module.
            LabelsError: The labels fit no output, or it is not certain which batch is trained on.
        """
        place = self._place
        assert place is not None
        outputs = self._taken(roots)
        if outputs is None:
            self._batches.used()
            return None
        batch = self._batch_of(self._model.take_inputs() if self._model is not None else [])
        target = _as_tensor(place.of(batch, "--labels"), place)
        anchors, given = _fitting(outputs, target, place)
        classes = given.classes
        if classes is None:
            classes = told_by_graph(roots, found, given.labels)
        logits = None
        if given.labels.ndim == 1 and not given.labels.is_floating_point():
            if self._of_classes is None:
                self._of_classes = classes is not None or favours_labels(roots, anchors[0], given.labels)
            logits = logits_of(anchors[0], columns_are_classes=self._of_classes)
        source, dim = f"from {place.text} (--labels)", given.class_dim
        void = void_label(given.labels, classes)
        return Evidence(anchors, given.labels, void, classes, self._name, class_dim=dim, source=source, logits=logits)

    def anchored(self, evidence: Evidence | None, roots: list[Tensor]) -> Evidence | None:
        """Returns evidence with the outputs of the named module as anchors; None in the first pass, or without labels.

        Raises:
            WrongUse: There is no such module, or several loss calls have labels of their own.
            LabelsError: The labels do not fit its output.
        """
        outputs = self._taken(roots)
        if outputs is None or evidence is None:
            return None
        if evidence.labelled:
            raise WrongUse(f"--anchor {self._anchor}: several losses have labels of their own; leave the option out")
        anchors = row_tensors(outputs, evidence.labels)
        dim = evidence.class_dim if anchors[0].shape == evidence.anchors[0].shape else None
        return replace(evidence, anchors=anchors, function=self._name, class_dim=dim)

    @property
    def _name(self) -> str:
        return "the model's output" if self._anchor is None else f"the output of {self._anchor}"

    def _taken(self, roots: list[Tensor]) -> list[Tensor] | None:
        """Returns the outputs since the last backward pass; None in the first one, which begins the watch."""
        if self._model is not None:
            return (self._module or self._model).take()
        model = find_owners(leaves(roots)).model
        parts = list(model.children()) if type(model) is nn.ModuleDict else [model]
        if self._anchor is not None:
            self._module = Outputs([named_module(parts, self._anchor)], self._wanted, self._fail)
        self._model = Outputs(parts, self._wanted, self._fail)
        return None

    def _batch_of(self, inputs: Sequence[Tensor]) -> Any:
        """Returns the batch that the model was given."""
        batches = self._batches.latest
        if not batches:
            raise WrongUse(
                f"--labels {self._text}: the script has read no torch DataLoader; use gradlens.observe in it"
            )
        for batch in batches:
            if any(_rows_of(given, tensor) for tensor in tensors_of(batch).values() for given in inputs):
                return batch
        if not self._batches.ahead:
            return batches[0]
        raise LabelsError(
            f"--labels {self._text}: batches are read in advance, and what the model was given is in none of the latest ones, so "
            "it is not certain which batch is trained on; name the labels in the script: gradlens.observe(outputs, labels)"
        )

    @property
    def _text(self) -> str:
        return "" if self._place is None else self._place.text


def named_module(parts: Sequence[nn.Module], name: str) -> nn.Module:
    """Returns the module of this name in the model; with several models, the name of the class may stand before it."""
    known: dict[str, nn.Module] = {}
    for part in parts:
        for inner, module in part.named_modules():
            known.setdefault(inner, module)
            known.setdefault(f"{type(part).__name__}.{inner}".rstrip("."), module)
    if name not in known:
        near = difflib.get_close_matches(name, known, NAMED, 0.3) or [each for each in known if each][:NAMED]
        raise WrongUse(f"--anchor {name}: the model has no module of this name; name one such as {', '.join(near)}")
    return known[name]


def _as_tensor(value: Any, place: BatchPath) -> Tensor:
    if isinstance(value, Tensor):
        return value
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise WrongUse(
            f"--labels {place.text} is {described(value)}; name a tensor of class ids or class masses"
        ) from error


def _fitting(outputs: Sequence[Tensor], target: Tensor, place: BatchPath) -> tuple[list[Tensor], GivenLabels]:
    """Returns the outputs whose rows the labels belong to, and the labels."""
    for output in outputs:
        found = readings(target, output)
        if not found and target.is_floating_point() and target.ndim == 2 and len(target) == len(output):
            whole = bool((target >= 0).all()) and bool(((target.sum(1) - 1).abs() < ROUNDING).all())
            found = [GivenLabels(target, target.shape[1])] if whole else []
        if found:
            return [output, *(other for other in row_tensors(outputs, found[0].labels) if other is not output)], found[
                0
            ]
    shapes = ", ".join(str(list(output.shape)) for output in outputs) or "none was seen"
    raise LabelsError(
        f"--labels {place.text} is {described(target)}, and fits no output ({shapes}): its first dimension must count the rows; "
        "name a module whose output it fits with --anchor NAME, or name both in the script: gradlens.observe(outputs, labels)"
    )


def _rows_of(given: Tensor, tensor: Tensor) -> bool:
    """Says whether a tensor that a model was given is one of a batch, maybe on another device. Two rows tell it."""
    if given is tensor:
        return True
    if given.shape != tensor.shape or given.dtype != tensor.dtype or given.ndim == 0 or not len(given):
        return False
    if given.device == tensor.device and given.data_ptr() == tensor.data_ptr():
        return True
    return all(torch.equal(given[at].detach().cpu(), tensor[at].detach().cpu()) for at in (0, -1))
