"""MemberValues: gives the rows of a loss the values of an attribute that the script's batches hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradlens.batch.members import NO_SAMPLE
from gradlens.batch.rows import LabelsError
from gradlens.groups import ClassGroups
from gradlens.tracking.errors import WrongUse
from gradlens.tracking.find.batch_path import BatchPath, described, parse_path, tensors_of
from gradlens.tracking.find.evidence import Evidence
from gradlens.tracking.members.rows_in_batch import values_of_rows
from gradlens.tracking.options import TrackOptions
from gradlens.tracking.provenance.batches import Batches

OPTION = "--members"
UNMATCHED = (
    "the labels of the loss are in none of the latest batches, so it is not certain which samples its rows are, and which value "
    "of {name} each has"
)
MIXED = "the loss mixes samples (a row has several labels), so a row has no single value of {name}"


class BatchesWithPlace(Batches):
    """Keeps batches; once only some places in them are kept, batches without these are left out: other loaders yield them."""

    def keep(self, batch: Any, origin: int) -> None:
        """Is called with each batch that a loader has yielded."""
        with suppress(WrongUse):
            super().keep(batch, origin)


class MemberValues:
    """Keeps the latest batches, and finds in them the values of a loss's rows.

    It is made in the first backward pass.
    """

    def __init__(self, options: TrackOptions, seen: Sequence[Any], fail: Callable[[Exception], None]) -> None:
        """Begins to keep batches.

        Args:
            options: The options of the command line, with ``members``.
            seen: The batches that the loaders have yielded so far, the latest first.
            fail: Is given each error of gradlens in the script's own loop.
        """
        assert options.members is not None
        self._path = parse_path(options.members, OPTION)
        self._named = None if options.groups_from is None else ClassGroups.from_json(options.groups_from)
        self._batches = BatchesWithPlace(fail)
        self.stop = self._batches.stop
        self._labels: str | None = None
        for number, batch in enumerate(reversed(seen)):
            self._batches.keep(batch, number)

    def beside(self, evidence: Evidence | None) -> Evidence | None:
        """Returns the evidence with the values of its rows; None if there is none.

        Raises:
            LabelsError: It is not certain which samples the rows are.
            WrongUse: The batch has no such values.
        """
        if evidence is None:
            return None
        if evidence.by_mass or any(item.terms for item in evidence.labelled):
            raise LabelsError(MIXED.format(name=self._path.text))
        own = [item.labels for item in evidence.labelled] or [evidence.labels]
        if len(evidence.anchors) > 1 and not evidence.labelled and not self._is_whole(evidence.labels):
            # Two chunks that happen to have the same labels, or two views of one chunk: nothing tells these apart.
            raise LabelsError(UNMATCHED.format(name=self._path.text))
        found = self._of_chunks(own) or [self._of_rows(labels) for labels in own]
        labelled = tuple(replace(item, members=ids) for item, ids in zip(evidence.labelled, found, strict=False))
        counted = [ids for ids, item in zip(found, evidence.labelled, strict=False) if _counts(item.share)] or found
        return replace(evidence, labelled=labelled, members=torch.cat(counted) if labelled else found[0])

    def _of_chunks(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """Returns the values of parts that together are the whole batch, in its order; an empty list if they are not."""
        if len(parts) < 2 or any(part.ndim == 0 or part.shape[1:] != parts[0].shape[1:] for part in parts):
            return []
        found = self._matched(torch.cat([part.detach().to(parts[0].device) for part in parts]))
        return [] if found is None else list(torch.split(found, [len(part) for part in parts]))

    def _of_rows(self, labels: Tensor) -> Tensor:
        """Returns [n] values for labels [n, ...]."""
        found = self._matched(labels)
        if found is not None:
            return found
        if not self._batches.latest:
            raise LabelsError(f"{UNMATCHED.format(name=self._path.text)}: no DataLoader has yielded a batch")
        self._values(self._batches.latest[0])  # if the path is wrong, that is the reason
        raise LabelsError(UNMATCHED.format(name=self._path.text))

    def _is_whole(self, labels: Tensor) -> bool:
        batches = self._batches.latest
        return any(len(self._values(batch)) == len(labels) for batch in batches)

    def _matched(self, labels: Tensor) -> Tensor | None:
        for batch in self._batches.latest:
            values: Tensor | None = None
            for place, source in self._sources(batch):
                values = self._values(batch) if values is None else values
                if len(values) == len(source) and (found := values_of_rows(labels, source, values)) is not None:
                    self._remember(place)
                    return found
        return None

    def _sources(self, batch: Any) -> list[tuple[str, Tensor]]:
        if self._labels is not None:
            return [(self._labels, batch[self._labels])]
        return [(place, tensor) for place, tensor in tensors_of(batch).items() if tensor.ndim]

    def _remember(self, place: str) -> None:
        """Keeps only labels and values of later batches: batches of images take memory."""
        if self._labels is None:
            self._labels = place
            self._batches.only((self._path, parse_path(place, OPTION)))

    def _values(self, batch: Any) -> Tensor:
        found = batch[self._path.text] if self._labels is not None else self._path.of(batch, OPTION)
        return ids_of(found, self._path, self._named)


def ids_of(found: Any, path: BatchPath, named: ClassGroups | None) -> Tensor:
    """Returns the ids [m] of the values in a batch. Texts that no group names belong to no group.

    Args:
        found: What the batch holds: integers, or texts.
        path: Where it holds them, for messages.
        named: The groups that the options name; None if each value is a group.

    Raises:
        WrongUse: It holds something else; or texts, and no group names them.
    """
    if isinstance(found, Sequence) and found and all(isinstance(value, str) for value in found):
        if named is None or not named.values:
            raise WrongUse(
                f"{OPTION} {path.text}: the values are texts ({found[0]!r}); name them: --groups {found[0]}={found[0]},others="
                "VALUE+VALUE"
            )
        ids = {value: at for at, value in enumerate(named.values)}
        return torch.tensor([ids.get(value, NO_SAMPLE) for value in found])
    if isinstance(found, np.ndarray | list | tuple):
        with suppress(TypeError, ValueError, RuntimeError):
            found = torch.as_tensor(found)
    if not isinstance(found, Tensor) or found.is_floating_point() or found.is_complex():
        raise WrongUse(
            f"{OPTION} {path.text}: the batch holds {described(found)} there; the values of an attribute are whole numbers or "
            "texts, one for each sample"
        )
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 1:
        raise WrongUse(f"{OPTION} {path.text}: {described(found)} is not one value for each sample")
    if named is not None and named.values:
        raise WrongUse(
            f"{OPTION} {path.text}: the values are numbers, but --groups names texts; write --groups NAME=IDS,..."
        )
    ids = found.detach().cpu().long()
    return torch.where(ids < 0, NO_SAMPLE, ids)  # -1 often stands for "not known"


def _counts(share: float | Tensor) -> bool:
    return isinstance(share, Tensor) or share > 0
