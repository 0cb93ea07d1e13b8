"""LabelledPass: describes a backward pass through samples: its losses, its anchors and their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from gradlens.batch.labelled import Labelled, rows_of
from gradlens.batch.member_scores import softmax_input
from gradlens.batch.members import member_rows
from gradlens.batch.rows import LabelsError, RowsByGroup, group_rows
from gradlens.groups import ClassGroups
from gradlens.measure.meter import Taken


@dataclass(frozen=True)
class LabelledPass:
    """One backward pass.

    Attributes:
        losses: The loss components.
        anchors: The tensors whose rows are samples.
        labels: Their labels.
        components: Names of the loss components; () for a single loss.
        ignore_index: The label of rows that are no samples.
        logits: The tensor that loss and hits are counted from. None if it is the anchor with C columns.
        class_dim: The dimension of the anchors that holds the classes; None if it is not known.
        taken: Returns the gradients that the pass has returned, if it leaves none in ``.grad`` (torch.autograd.grad).
        labelled: The anchors, each with labels of its own; () if all have the same labels.
        retains: Whether the pass keeps the graph, so that a pass over another loss can follow.
        members: Values of the attribute that the groups are made of, from ``member_ids``; None if they are made of classes.
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
    members: Tensor | None = None

    @property
    def scored(self) -> Tensor | None:
        """The tensor that loss and hits are counted from, if it is known; see ``logits``."""
        if self.members is None or self.logits is not None:
            return self.logits
        return None if self.class_dim is not None else softmax_input(self.losses, self.anchors)

    def rows(self, groups: ClassGroups) -> RowsByGroup:
        """Returns the rows of the anchors by group.

        Raises:
            LabelsError: There are no anchors, or the labels do not fit them.
        """
        if not self.anchors:
            raise LabelsError("no anchors given; name at least one tensor whose rows are the samples")
        if self.labelled:
            return rows_of(self.labelled, groups)
        if self.members is not None:
            return member_rows(
                self.members, self.labels, groups, self.anchors[0], self.ignore_index, class_dim=self.class_dim
            )
        return group_rows(self.labels, groups, self.anchors[0], self.ignore_index, class_dim=self.class_dim)
