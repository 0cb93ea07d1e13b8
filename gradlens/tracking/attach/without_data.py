"""Labels of classes that belong to no group because the data seemed to have none of them."""

from __future__ import annotations

import torch
from torch import Tensor

from gradlens.groups import ClassGroups
from gradlens.tracking.find.group_choice import DATA

# Ids of classes that a message names.
NAMED = 5


class WithoutData:
    """Looks at the labels of measured steps, and tells once that some of them count as ``rest``."""

    def __init__(self, groups: ClassGroups) -> None:
        """Prepares.

        Args:
            groups: The groups of the run; their rule says whether classes without data were left out.
        """
        self._unexpected = torch.from_numpy(groups.of_class() < 0) if DATA in groups.rule else None

    def look(self, labels: Tensor) -> str | None:
        """Returns what to say of the labels of a backward pass, the first time that there is something."""
        if self._unexpected is None or labels.is_floating_point():
            return None
        ids = labels.detach().reshape(-1).cpu().long()
        ids = ids[(ids >= 0) & (ids < len(self._unexpected))]
        found = sorted(set(ids[self._unexpected[ids]].tolist()))
        if not found:
            return None
        self._unexpected = None
        shown = ", ".join(str(c) for c in found[:NAMED]) + (", ..." if len(found) > NAMED else "")
        return (
            f"labels of class {shown}, of which the training data seemed to have none, belong to no group and count as 'rest'; "
            "name the groups with --groups NAME=IDS,..."
        )
