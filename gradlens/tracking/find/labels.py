"""LabelSearch: finds the anchors and labels of a backward pass from all that was seen of it.

There are three sources: what the script names with ``gradlens.observe``, its loss calls, and the operations of a loss that is
written by hand.
"""

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
from gradlens.tracking.find.loss_calls import LossNode, leaves
from gradlens.tracking.find.models import find_owners
from gradlens.tracking.find.observed import Observed
from gradlens.tracking.find.observed_classes import told_by_graph
from gradlens.tracking.find.outputs import Outputs
from gradlens.tracking.find.targets import contrasts, is_taught, with_hard_labels

# After this many backward passes in whose graphs no labels were found, no more graphs are searched.
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


class LabelSearch:
    """Finds labels, and says why some losses count as ``rest``.

    Attributes:
        compiled: Whether a loss was seen that a compiled function has returned.
    """

    def __init__(
        self, notice: Callable[[str, str], None], wanted: Callable[[], bool], fail: Callable[[Exception], None]
    ) -> None:
        """Keeps its arguments. Nothing was seen yet.

        Args:
            notice: Is called with a kind and a line for the user.
            wanted: Says whether the model's outputs are needed now.
            fail: Is given each error of gradlens in the training's own forward pass.
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
        """Keeps the arguments of ``gradlens.observe``.

        Raises:
            LabelsError: They are no tensors.
        """
        if not isinstance(outputs, Tensor) or not isinstance(labels, Tensor):
            kinds = f"{type(outputs).__name__} and {type(labels).__name__}"
            raise LabelsError(
                f"gradlens.observe got {kinds}; give tensors: outputs [batch, classes] and labels [batch]"
            )
        if outputs.requires_grad:
            self._observed.add(outputs, labels)

    def evidence(self, found: list[LossNode], roots: list[Tensor], classes: int | None) -> Evidence | None:
        """Returns the evidence of a backward pass; None if its labels are not found.

        Args:
            found: The loss calls in its graph.
            roots: The tensors that are differentiated.
            classes: C of the run; None if it is not known yet.
        """
        named = self._observed.take(roots)
        if not found and is_inside(roots):  # even if the script names the logits, they are not in the loss's graph
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
                others = ", ".join(sorted({str(class_count(item.call)) for item in naming}))
                text = f"a loss over {others} classes counts as 'rest': the groups of this run are over {classes}"
                self._notice("other classes", text)
            return evidence
        return self._from_graph(roots, classes) if self._tries < TRIES else None

    def _naming(self, found: list[LossNode]) -> list[LossNode]:
        """Returns the loss calls whose labels are classes. For the others, tells the user that they count as ``rest``."""
        naming: list[LossNode] = []
        for item in found:
            if contrasts(item.call, self._classifiers, self._refused):
                self._refused |= classifier_of(item.call.anchor)
                self._notice("contrastive", CONTRASTIVE)
            else:
                naming.append(item)
        taught = [item for item in naming if is_taught(item.call)]
        if taught:
            self._notice("teacher", TAUGHT)
            naming = [item for item in naming if not any(item is other for other in taught)]
        if not self._classifiers:
            self._classifiers = frozenset().union(*(classifier_of(item.call.anchor) for item in naming))
        return [replace(item, call=with_hard_labels(item.call)) for item in naming]

    def _told(self, evidence: Evidence) -> Evidence:
        if evidence.left_out:
            beside = f"{evidence.left_out} beside the measured"
            self._notice("left out", f"loss calls with other labels count as 'rest' ({beside})")
        return evidence

    def listen(self, wanted: bool) -> None:
        """Starts or stops the watch of the model's outputs, if there is one: a hook costs time in every forward pass."""
        if self._outputs is not None:
            (self._outputs.resume if wanted else self._outputs.stop)()

    def stop(self) -> None:
        """Forgets everything. From now on, graphs without a loss call are not searched."""
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
            # The logits come first: the groups' losses and hits are computed from the first anchor.
            anchors = [logits, *(t for t in row_tensors(outputs, labels) if t is not logits)]
        except LabelsError:  # masses that fit no output
            return None
        return Evidence(anchors, labels, -100, int(logits.shape[1]), "the model's output")
