"""LabelSearch: finds the anchors and labels of a backward pass from all that was seen of it.

The sources, the first of which wins: what the user names with ``--labels``, what the script names with ``gradlens.observe``, its
loss calls, the operations of a loss that is written by hand, and the labels that a loss module was given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from torch import Tensor, nn

from gradlens.batch.anchors import row_tensors
from gradlens.batch.rows import LabelsError
from gradlens.tracking.find.chunked_loss import CHUNKED, fused, in_chunks
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


class Source(Protocol):
    """A further source of labels, which watches modules of the script in measured steps."""

    def listen(self, wanted: bool) -> None:
        """Starts or stops the watch."""

    def stop(self) -> None:
        """Stops for good, and forgets everything."""


class GivenToLosses(Source, Protocol):
    """Finds labels among the arguments of loss modules; see ``gradlens.tracking.provenance.from_loss``.

    Attributes:
        hopeful: Whether the labels may be found in one of the next steps.
    """

    hopeful: bool

    @property
    def known(self) -> bool:
        """Whether the place of the labels is known."""

    def evidence(self, roots: Sequence[Tensor]) -> Evidence | None:
        """Returns the evidence of a backward pass; None if it is not certain."""


class Chosen(Source, Protocol):
    """Takes labels and anchor as the user has named them; see ``gradlens.tracking.provenance.chosen``."""

    @property
    def labels(self) -> bool:
        """Whether the user has named the place of the labels."""

    def evidence(self, found: Sequence[LossNode], roots: list[Tensor]) -> Evidence | None:
        """Returns the evidence of a backward pass by the labels that the user has named."""

    def anchored(self, evidence: Evidence | None, roots: list[Tensor]) -> Evidence | None:
        """Returns evidence with the outputs of the named module as anchors."""


class LabelSearch:
    """Finds labels, and says why some losses count as ``rest``.

    Attributes:
        compiled: Whether a loss was seen that a compiled function has returned.
    """

    def __init__(
        self,
        notice: Callable[[str, str], None],
        wanted: Callable[[], bool],
        fail: Callable[[Exception], None],
        given: GivenToLosses,
        chosen: Chosen | None,
    ) -> None:
        """Keeps its arguments. Nothing was seen yet.

        Args:
            notice: Is called with a kind and a line for the user.
            wanted: Says whether the model's outputs are needed now.
            fail: Is given each error of gradlens in the training's own forward pass.
            given: Finds the labels that loss modules were given.
            chosen: Takes what the user has named on the command line; None if nothing was.
        """
        self._notice, self._wanted, self._fail = notice, wanted, fail
        self._given, self._chosen = given, chosen
        # Lines of this pass that are only true if the labels are not found by other means.
        self._waiting: dict[str, str] = {}
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
        if self._chosen is not None and self._chosen.labels:
            return self._chosen.evidence(found, roots)
        evidence = self._found(found, roots, classes)
        return evidence if self._chosen is None else self._chosen.anchored(evidence, roots)

    def _found(self, found: list[LossNode], roots: list[Tensor], classes: int | None) -> Evidence | None:
        named = self._observed.take(roots)
        if not found and is_inside(roots):  # even if the script names the logits, they are not in the loss's graph
            self.compiled = True
            return None
        if not self._chunks_looked_for:
            self._chunks_looked_for = True
            if in_chunks(roots):
                self._notice("chunks", CHUNKED)
            if not found and (line := fused(roots)) is not None:
                self._notice("fused", line)
        if named:
            return self._told(observed(named, classes or told_by_graph(roots, found, named[-1][1])))
        if self._given.known:
            return self._given.evidence(roots)
        naming = self._naming(found)
        if naming:
            self._tell()
            self.stop()
            evidence = weigh(naming, roots, classes)
            if evidence is not None:
                return self._told(evidence)
            if evidence is None:
                others = ", ".join(sorted({str(class_count(item.call)) for item in naming}))
                text = f"a loss over {others} classes counts as 'rest': the groups of this run are over {classes}"
                self._notice("other classes", text)
            return evidence
        if self._tries >= TRIES:
            return None
        evidence = None if found else self._from_graph(roots, classes)
        if evidence is not None:
            self._given.stop()
        elif classes is None:
            evidence = self._given.evidence(roots)
            if evidence is None:
                self._tries += 1
            elif self._outputs is not None:
                self._outputs.stop()
        if evidence is None and not (self._given.hopeful and self._tries < TRIES):
            self._tell()
        self._waiting.clear()
        if self._tries == TRIES:
            self.stop()
        return evidence

    def _tell(self) -> None:
        """Prints the lines that wait."""
        for kind, text in self._waiting.items():
            self._notice(kind, text)
        self._waiting.clear()

    def _naming(self, found: list[LossNode]) -> list[LossNode]:
        """Returns the loss calls whose labels are classes. For the others, tells the user that they count as ``rest``."""
        naming: list[LossNode] = []
        for item in found:
            if contrasts(item.call, self._classifiers, self._refused):
                self._refused |= classifier_of(item.call.anchor)
                self._waiting["contrastive"] = CONTRASTIVE
            else:
                naming.append(item)
        taught = [item for item in naming if is_taught(item.call)]
        if taught:
            self._waiting["teacher"] = TAUGHT
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
        for watch in (self._outputs, self._given, self._chosen):
            if isinstance(watch, Outputs):
                (watch.resume if wanted else watch.stop)()
            elif watch is not None:
                watch.listen(wanted)

    def stop(self) -> None:
        """Forgets everything. From now on, graphs without a loss call are not searched."""
        self._observed.forget()
        self._given.stop()
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
            self._waiting["no labels"] = f"the targets of the loss {refused[0]}: they are no labels; {NAME}"
        if found is None or (classes is not None and found[0].shape[1] != classes):
            return None
        logits, labels = found
        try:
            # The logits come first: the groups' losses and hits are computed from the first anchor.
            anchors = [logits, *(t for t in row_tensors(outputs, labels) if t is not logits)]
        except LabelsError:  # masses that fit no output
            return None
        return Evidence(anchors, labels, -100, int(logits.shape[1]), "the model's output")
