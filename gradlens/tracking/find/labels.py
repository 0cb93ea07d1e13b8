"""Clues: from what was seen of a backward pass to its anchors and labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from gradlens.batch.anchors import row_tensors
from gradlens.batch.rows import LabelsError
from gradlens.tracking.find.chunked_loss import CHUNKED, in_chunks
from gradlens.tracking.find.classifiers import classifier_of
from gradlens.tracking.find.compiled_loss import is_inside
from gradlens.tracking.find.evidence import Evidence, class_count, observed, weigh
from gradlens.tracking.find.labels_in_graph import find_labels
from gradlens.tracking.find.models import find_owners
from gradlens.tracking.find.observed import Observed
from gradlens.tracking.find.observed_classes import told_by_graph
from gradlens.tracking.find.outputs import Outputs
from gradlens.tracking.find.sightings import Found, leaves
from gradlens.tracking.find.targets import contrasts, is_taught, with_hard_labels

# Backward passes in whose graphs labels are looked for in vain, before that is given up.
TRIES = 20
NAME = "to name classes, add gradlens.observe(outputs, labels) before loss.backward()"
CONTRASTIVE = (
    "a loss whose labels are positions in the batch is contrastive and tells no classes (beside a loss that is measured it "
    f"counts as 'rest'); {NAME}"
)
TAUGHT = (
    "a loss whose targets vary continuously, as a teacher's outputs do, tells no classes (beside a loss that is measured it "
    f"counts as 'rest'); {NAME}"
)


class Clues:
    """Loss calls, what the script observes, and the labels in the graph of a loss written by hand.

    Attributes:
        compiled: Whether a loss was seen that a compiled function had returned.
    """

    def __init__(
        self, notice: Callable[[str, str], None], wanted: Callable[[], bool], fail: Callable[[Exception], None]
    ) -> None:
        """Prepares.

        Args:
            notice: Takes (kind, text) of what people should know.
            wanted: Whether the model's outputs matter now.
            fail: Takes errors of ours that happen in the training's own forward pass.
        """
        self._notice, self._wanted, self._fail = notice, wanted, fail
        self._observed = Observed()
        self._outputs: Outputs | None = None
        self._tries = 0
        # Ids of parameters of layers whose logits had labels of classes, and of those whose logits had positions.
        self._classifiers: frozenset[int] = frozenset()
        self._refused: frozenset[int] = frozenset()
        self._chunks_looked_for = False
        self.compiled = False

    def named(self, outputs: Any, labels: Any) -> None:
        """Takes what the script names with ``gradlens.observe``.

        Raises:
            LabelsError: No tensors.
        """
        if not isinstance(outputs, Tensor) or not isinstance(labels, Tensor):
            kinds = f"{type(outputs).__name__} and {type(labels).__name__}"
            raise LabelsError(
                f"gradlens.observe got {kinds}; give tensors: outputs [batch, classes] and labels [batch]"
            )
        if outputs.requires_grad:
            self._observed.add(outputs, labels)

    def evidence(self, found: list[Found], roots: list[Tensor], classes: int | None) -> Evidence | None:
        """Returns the evidence of a backward pass, or None.

        Args:
            found: Loss calls in its graph.
            roots: What is differentiated.
            classes: C of the run, once known.
        """
        named = self._observed.take(roots)
        if not found and is_inside(roots):  # its logits are no part of the loss's graph, even if the script names them
            self.compiled = True
            return None
        if not self._chunks_looked_for:
            self._chunks_looked_for = True
            if in_chunks(roots):
                self._notice("chunks", CHUNKED)
        if named:
            return self._told(observed(named, classes or told_by_graph(roots, found, named[-1][1])))
        naming = self._naming(found)
        if found and not naming:
            return None
        if naming:
            self.stop()
            evidence = weigh(naming, roots, classes)
            if evidence is not None:
                return self._told(evidence)
            if evidence is None:
                others = ", ".join(sorted({str(class_count(item.sighting)) for item in naming}))
                text = f"a loss over {others} classes counts as 'rest': the groups of this run are over {classes}"
                self._notice("other classes", text)
            return evidence
        return self._from_graph(roots, classes) if self._tries < TRIES else None

    def _naming(self, found: list[Found]) -> list[Found]:
        """Returns the loss calls whose labels are those of classes; the others are said to be rest."""
        naming: list[Found] = []
        for item in found:
            if contrasts(item.sighting, self._classifiers, self._refused):
                self._refused |= classifier_of(item.sighting.anchor)
                self._notice("contrastive", CONTRASTIVE)
            else:
                naming.append(item)
        taught = [item for item in naming if is_taught(item.sighting)]
        if taught:
            self._notice("teacher", TAUGHT)
            naming = [item for item in naming if not any(item is other for other in taught)]
        if not self._classifiers:
            self._classifiers = frozenset().union(*(classifier_of(item.sighting.anchor) for item in naming))
        return [replace(item, sighting=with_hard_labels(item.sighting)) for item in naming]

    def _told(self, evidence: Evidence) -> Evidence:
        if evidence.left_out:
            beside = f"{evidence.left_out} beside the measured"
            self._notice("left out", f"loss calls with other labels count as 'rest' ({beside})")
        return evidence

    def listen(self, wanted: bool) -> None:
        """Watches the model's outputs, if it ever did, or rests: a hook costs time in every forward pass."""
        if self._outputs is not None:
            (self._outputs.resume if wanted else self._outputs.stop)()

    def stop(self) -> None:
        """Forgets everything and looks no more into the graphs of losses without a loss call."""
        self._observed.forget()
        self._tries = TRIES
        if self._outputs is not None:
            self._outputs.stop()
            self._outputs = None

    def _from_graph(self, roots: list[Tensor], classes: int | None) -> Evidence | None:
        if self._outputs is None:
            model = find_owners(leaves(roots)).model
            parts = list(model.children()) if type(model) is nn.ModuleDict else [model]
            self._outputs = Outputs(parts, self._wanted, self._fail)
            return None
        outputs = self._outputs.take()
        refused: list[str] = []
        found = find_labels(roots, outputs, self._outputs.take_inputs(), refused.append)
        if found is None and refused:
            self._notice("no labels", f"the targets of the loss {refused[0]}: they are no labels; {NAME}")
        if found is None or (classes is not None and found[0].shape[1] != classes):
            if classes is None:
                self._tries += 1
                if self._tries == TRIES:
                    self.stop()
            return None
        logits, labels = found
        try:
            # The logits first: they are what the classes' losses and hits are computed from.
            anchors = [logits, *(t for t in row_tensors(outputs, labels) if t is not logits)]
        except LabelsError:  # masses that fit no output
            return None
        return Evidence(anchors, labels, -100, int(logits.shape[1]), "the model's output")
