"""Attachment: on the way from the first loss that is seen to the lens that measures the training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader

from gradlens.lens import Lens
from gradlens.tracking.attach import attach
from gradlens.tracking.evidence import Evidence
from gradlens.tracking.group_search import GroupSearch
from gradlens.tracking.model_search import find_owners
from gradlens.tracking.options import TrackOptions
from gradlens.tracking.sightings import leaves
from gradlens.tracking.step_count import StepCount


class Attachment:
    """Knows the model from the first backward pass on, and the groups at once or after a pass over the data.

    Attributes:
        search: The search for the groups.
        every_backward: Whether each backward pass is a step, because no optimizer was found.
    """

    def __init__(
        self,
        options: TrackOptions,
        folder: Path,
        roots: Sequence[Tensor],
        evidence: Evidence,
        loader: DataLoader[Any] | None,
    ) -> None:
        """Finds model, optimizer and, if possible, class counts.

        Args:
            options: What was asked for.
            folder: The run's folder.
            roots: What the script differentiates.
            evidence: Its anchors and labels.
            loader: The loader that it trains from, if one was seen.

        Raises:
            LookupError: The loss reaches nothing that could be trained.
        """
        self._options, self._folder = options, folder
        self._owners = find_owners(leaves(list(roots)))
        self._steps = StepCount(self._owners.optimizer)
        self._first = True
        self.every_backward = self._owners.optimizer is None
        self.search = GroupSearch(options, evidence.num_classes, loader, evidence.labels)

    def lens(self, evidence: Evidence, passes: int, on_made: Callable[[], None]) -> Lens | None:
        """Returns the lens, or None while labels are being counted. The lens skips this step if it cannot measure it.

        Args:
            evidence: Anchors and labels of this backward pass.
            passes: Passes over the data that have begun.
            on_made: Called when the lens has been made.

        Raises:
            WrongUse: The groups asked for do not fit the classes.
        """
        first, self._first = self._first, False
        groups = self.search.offer(evidence.labels, pass_over=passes > 1)
        if groups is None:
            self._steps.backward_ran()
            return None
        unseen = any(_holds(param.grad) for param in self._owners.model.parameters())
        lens = attach(self._options, self._folder, groups, self.search.counts, self._owners, evidence)
        on_made()
        lens.step = self._steps.end()
        lens.epoch = max(passes - 1, 0)
        if lens.armed and (not first or unseen or lens.engine_name != "masked"):
            # Other engines need to see the forward pass, which is over; a later step may have begun before, and in the
            # first one a backward pass without labels (a penalty on the weights) may have run before this one.
            lens.skip()
        return lens


def _holds(gradient: Tensor | None) -> bool:
    return gradient is not None and bool(gradient.count_nonzero() if not gradient.is_sparse else gradient._nnz())
