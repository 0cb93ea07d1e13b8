"""Batches: keeps the latest batches that the script's loaders have yielded, as long as somebody needs them."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.data.dataloader import _BaseDataLoaderIter

from gradlens.guards.patches import Listeners, Patch, listen
from gradlens.tracking.find.batch_path import BatchPath, tensors_of

# The latest batches that are kept. Frameworks read one batch ahead, and a script may read two loaders in turns.
KEPT = 3


class Batches:
    """Keeps the latest batches, or only what lies at some places in them.

    Batches that are read while gradients are off belong to evaluations, and are not kept.

    Attributes:
        ahead: Whether the script reads batches in advance. If not, only the last batch of each loader can be the one in use.
        fail: Is given an error of gradlens.
        leave: Takes the loaders out of the watch, and does nothing else. A second call does no harm.
        columns: After the end: the places of class ids in the last batch that was kept, as far as their type tells.
    """

    def __init__(self, fail: Callable[[Exception], None]) -> None:
        """Begins to keep batches.

        Args:
            fail: Is given an error of gradlens, which must not reach the script's loop.
        """
        self.fail = fail
        self.ahead = False
        self._kept: deque[tuple[int, Any]] = deque(maxlen=KEPT)
        self._places: tuple[BatchPath, ...] | None = None
        self.columns: list[str] = []
        self.leave = listen(BATCHES, self)
        self._stopped = False

    def keep(self, batch: Any, origin: int) -> None:
        """Is called with each batch that a loader has yielded.

        Args:
            batch: The batch.
            origin: The same number for all batches of one pass over a loader.
        """
        if torch.is_grad_enabled():
            if self._places is not None:
                batch = {place.text: place.of(batch, "the labels") for place in self._places}
            self._kept.append((origin, batch))

    def only(self, places: tuple[BatchPath, ...]) -> None:
        """Keeps no more than what lies at these places, from now on."""
        kept, self._places = list(self._kept), places
        self._kept.clear()
        for origin, batch in kept:
            self.keep(batch, origin)

    def used(self) -> None:
        """Is called in the first backward pass: if two batches of a loader were read until then, one is read in advance."""
        origins = [origin for origin, _ in self._kept]
        self.ahead = len(set(origins)) < len(origins)

    @property
    def latest(self) -> list[Any]:
        """The batches that may be in use, the latest first."""
        newest = list(reversed(self._kept))
        if self.ahead:
            return [batch for _, batch in newest]
        of_loader: dict[int, Any] = {}
        for origin, batch in newest:
            of_loader.setdefault(origin, batch)
        return list(of_loader.values())

    def tensors(self) -> list[dict[str, Any]]:
        """Returns the tensors of each kept batch by their paths, the latest batch first."""
        found = self.latest
        return found if self._places is not None else [tensors_of(batch) for batch in found]

    def stop(self) -> None:
        """Stops keeping batches, and forgets those that it has. A second call does nothing."""
        self.leave()
        if not self._stopped:
            self._stopped = True
            try:
                last = self.tensors()[0] if self._kept else {}
                self.columns = [at for at, tensor in last.items() if isinstance(tensor, Tensor) and _is_column(tensor)]
            except Exception as error:  # an end must reach its end
                self.fail(error)
        self._kept.clear()


def _is_column(tensor: Tensor) -> bool:
    return tensor.ndim == 1 and not tensor.is_floating_point() and tensor.dtype != torch.bool


def _watched_batch(ordinary: Callable[..., Any], listeners: Listeners[Batches]) -> Callable[..., Any]:
    @functools.wraps(ordinary)
    def next_batch(self: _BaseDataLoaderIter) -> Any:
        batch = ordinary(self)
        for keeper in listeners.all:
            try:
                keeper.keep(batch, id(self))
            except Exception as error:
                keeper.fail(error)
        return batch

    return next_batch


BATCHES: Patch[Batches] = Patch(_BaseDataLoaderIter, "__next__", _watched_batch)
