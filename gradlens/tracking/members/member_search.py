"""MemberSearch: a search for labels that also finds the values of the attribute that the groups are made of."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from gradlens.tracking.find.evidence import Evidence
from gradlens.tracking.find.labels import LabelSearch
from gradlens.tracking.find.loss_calls import LossNode
from gradlens.tracking.members.member_values import MemberValues


class MemberSearch(LabelSearch):
    """A label search whose evidence holds the values of the rows."""

    def __init__(self, values: MemberValues, *arguments: Any) -> None:
        """Keeps its arguments.

        Args:
            values: Finds the values.
            *arguments: Those of ``LabelSearch``.
        """
        super().__init__(*arguments)
        self._values = values

    def evidence(self, found: list[LossNode], roots: list[Tensor], classes: int | None) -> Evidence | None:
        """Returns the evidence of a backward pass, with the values of its rows; see ``LabelSearch.evidence``.

        Raises:
            LabelsError: It is not certain which value each row has.
            WrongUse: The batch has no such values.
        """
        return self._values.beside(super().evidence(found, roots, classes))
