"""LabelledPass: a backward pass that passes through samples, and what is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from gradlens.batch.labelled import Labelled, rows_of
from gradlens.batch.rows import LabelsError, Rows, group_rows
from gradlens.groups import ClassGroups
from gradlens.measure.meter import Taken


@dataclass(frozen=True)
class LabelledPass:
    """One backward pass.

    Attributes:
        losses: Loss components.
        anchors: The tensors whose rows are samples.
        labels: Their labels.
        components: Names of the losses, or () for a single one.
        ignore_index: The label that belongs to no sample.
        logits: What loss and hits are counted from, where it is not an anchor of C columns.
        class_dim: Where the anchors have their classes, if that is known.
        taken: Returns the gradients that the pass has returned, where it leaves none in ``.grad``.
        labelled: The anchors again, where they have labels of their own.
        retains: Whether the pass keeps the graph for a pass over another loss.
    """

    losses: Sequence[Tensor]
    anchors: Sequence[Tensor]
    labels: Tensor
    components: tuple[str, ...] = ()
    ignore_index: int = -100
    logits: Tensor | None = None
    class_dim: int | None = None
    taken: Taken | None = None
    labelled: Sequence[Labelled] = ()
    retains: bool = False

    def rows(self, groups: ClassGroups) -> Rows:
        """Returns the rows of the anchors by group.

        Raises:
            LabelsError: No anchors, or labels that do not fit them.
        """
        if not self.anchors:
            raise LabelsError("no anchors given; name at least one tensor whose rows are the samples")
        if self.labelled:
            return rows_of(self.labelled, groups)
        return group_rows(self.labels, groups, self.anchors[0], self.ignore_index, class_dim=self.class_dim)
