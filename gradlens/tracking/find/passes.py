"""DataPasses: finds out which DataLoader trains, and counts the passes over its data."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from gradlens.tracking.find.drawn_samples import DrawnSamples

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

# The latest loaders that are remembered until it is known which one trains.
CANDIDATES = 4


class DataPasses:
    """Counts passes over the training data.

    Attributes:
        count: Number of passes that have begun.
    """

    def __init__(self) -> None:
        self.count = 0
        self._loaders: list[DataLoader[Any]] = []
        self._drawn: list[DrawnSamples] = []
        self._trains = _Data(None)
        self._newest = _Data(None)
        self._settled = False

    @property
    def candidates(self) -> list[tuple[DataLoader[Any], DrawnSamples]]:
        """The loaders that may train, each with the samples drawn from its dataset. The one that was read last is first."""
        known = {id(drawn.dataset): drawn for drawn in self._drawn}
        found = [
            (loader, known.get(id(loader.dataset), DrawnSamples(loader.dataset))) for loader in reversed(self._loaders)
        ]
        # A loader that was opened and not read is for later. But if no loader was read, as far as can be seen, all may train.
        return [item for item in found if len(item[1]) or not item[1].complete] or found

    def settle(self, loader: DataLoader[Any] | None) -> None:
        """Takes a loader as the one that trains, and forgets the others. None: no loader trains."""
        self._loaders, self._drawn = [], []
        self._trains = _Data(loader)
        self._settled = True

    def opened(self, loader: DataLoader[Any]) -> None:
        """Adds a loader whose first pass has begun before tracking did."""
        self._drawn = [*self._drawn[1 - CANDIDATES :], DrawnSamples(loader.dataset, complete=False)]
        self.began(loader)

    def drew(self, dataset: Any, index: Any) -> None:
        """Adds the indices of a batch of a dataset, as long as it is not known which loader trains."""
        if self._settled:
            return
        known = next((drawn for drawn in self._drawn if drawn.dataset is dataset), None)
        if known is None:
            known = DrawnSamples(dataset)
            self._drawn = [*self._drawn[1 - CANDIDATES :], known]
        known.add(index)

    def move_on(self) -> None:
        """Takes the data that was read last as the training data."""
        self._trains = self._newest

    def began(self, loader: DataLoader[Any]) -> bool:
        """Is called when the script begins to read a loader. Returns whether that is a new pass over the training data."""
        if not self._settled:
            others = [each for each in self._loaders if each is not loader]
            self._loaders = [*others[1 - CANDIDATES :], loader]
            self.count = 1
            return False
        self._newest = _Data(loader)
        # Many scripts make a new loader for each epoch, and some make a new dataset, too.
        if not self._trains.fits(self._newest):
            return False
        self._trains = self._newest
        self.count += 1
        return True


class _Data:
    """Remembers a loader's dataset, without keeping it alive."""

    def __init__(self, loader: DataLoader[Any] | None) -> None:
        dataset = None if loader is None else loader.dataset
        self._kind: tuple[type, int] | None = None
        self._reference: weakref.ref[Any] | None = None
        try:
            self._reference = None if dataset is None else weakref.ref(dataset)
            self._kind = None if dataset is None else (type(dataset), len(dataset))  # type: ignore[arg-type]
        except Exception:  # a list has no weak references, a stream has no length, and a dataset may raise anything
            return

    def fits(self, other: _Data) -> bool:
        """Says whether the other is the same dataset; or, if this one is gone, a dataset of the same type and length."""
        if self._reference is None or other._reference is None:
            return False
        mine = self._reference()
        return mine is other._reference() if mine is not None else self._kind is not None and self._kind == other._kind
