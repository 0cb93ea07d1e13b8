"""WithoutData: warns once if labels of measured steps belong to no group.

Groups are made from classes that the data has. A class is in no group if the data seemed to have no sample of it, or if no label
so far was of it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gradlens.groups import ClassGroups
from gradlens.tracking.find.group_choice import DATA

# Ids of classes that a message names.
NAMED = 5


class WithoutData:
    """Looks at the labels of measured steps, and warns once if some of them count as ``rest``."""

    def __init__(self, groups: ClassGroups, *, known: bool) -> None:
        """Finds the classes that belong to no group.

        Args:
            groups: The groups of the run. Their rule says whether classes without data were left out.
            known: Whether the number of classes is final.
        """
        left_out = groups.of_class() < 0
        self._why = "training data seemed to have none" if known else "first labels had none"
        self._named, self._beyond = DATA in groups.rule, not known
        self._unexpected = torch.from_numpy(left_out) if DATA in groups.rule or not known else None

    def look(self, labels: Tensor) -> str | None:
        """Returns a line for the user, the first time that labels belong to no group; otherwise None."""
        if self._unexpected is None or labels.is_floating_point():
            return None
        ids = labels.detach().reshape(-1).cpu().long()
        inside = (ids >= 0) & (ids < len(self._unexpected))
        later = ids[ids >= len(self._unexpected)] if self._beyond else ids[:0]
        ids = ids[inside]
        found = sorted({*later.tolist(), *(ids[self._unexpected[ids]].tolist() if self._named else ())})
        if not found:
            return None
        self._unexpected = None
        shown = ", ".join(str(c) for c in found[:NAMED]) + (", ..." if len(found) > NAMED else "")
        return (
            f"labels of class {shown}, of which the {self._why}, belong to no group and count as 'rest'; "
            "name the groups with --groups NAME=IDS,..."
        )
