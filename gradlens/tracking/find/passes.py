"""DataPasses: which DataLoader trains, and how many passes over its data have begun."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from gradlens.tracking.find.drawn_samples import DrawnSamples

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

# Loaders that are remembered before it is known which one trains.
CANDIDATES = 4


class DataPasses:
    """Counts passes over the training data.

    Attributes:
        count: Passes that have begun.
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
        """Returns the loaders that may train and what was drawn from their datasets, the one that was read last first."""
        known = {id(drawn.dataset): drawn for drawn in self._drawn}
        found = [
            (loader, known.get(id(loader.dataset), DrawnSamples(loader.dataset))) for loader in reversed(self._loaders)
        ]
        # One that was opened and not read is for later, unless none was read where that can be seen.
        return [item for item in found if len(item[1]) or not item[1].complete] or found

    def settle(self, loader: DataLoader[Any] | None) -> None:
        """Takes a loader for the one that trains, and lets go of all."""
        self._loaders, self._drawn = [], []
        self._trains = _Data(loader)
        self._settled = True

    def opened(self, loader: DataLoader[Any]) -> None:
        """Notes a loader whose first pass has begun before anybody looked."""
        self._drawn = [*self._drawn[1 - CANDIDATES :], DrawnSamples(loader.dataset, complete=False)]
        self.began(loader)

    def drew(self, dataset: Any, index: Any) -> None:
        """Notes what a sampler gave for a batch of a dataset, until it is settled which one trains."""
        if self._settled:
            return
        known = next((drawn for drawn in self._drawn if drawn.dataset is dataset), None)
        if known is None:
            known = DrawnSamples(dataset)
            self._drawn = [*self._drawn[1 - CANDIDATES :], known]
        known.add(index)

    def move_on(self) -> None:
        """Takes the data that were read last for those that train now."""
        self._trains = self._newest

    def began(self, loader: DataLoader[Any]) -> bool:
        """Notes that the script begins to read a loader; says whether that is a new pass over the training data."""
        if not self._settled:
            others = [each for each in self._loaders if each is not loader]
            self._loaders = [*others[1 - CANDIDATES :], loader]
            self.count = 1
            return False
        self._newest = _Data(loader)
        # Many scripts make a new loader for each epoch, and some make the data anew, too.
        if not self._trains.fits(self._newest):
            return False
        self._trains = self._newest
        self.count += 1
        return True


class _Data:
    """Remembers a loader's dataset without keeping it alive."""

    def __init__(self, loader: DataLoader[Any] | None) -> None:
        dataset = None if loader is None else loader.dataset
        self._kind: tuple[type, int] | None = None
        self._reference: weakref.ref[Any] | None = None
        try:
            self._reference = None if dataset is None else weakref.ref(dataset)
            self._kind = None if dataset is None else (type(dataset), len(dataset))  # type: ignore[arg-type]
        except Exception:  # a list takes no weak references, a stream has no length, and some raise what they like
            return

    def fits(self, other: _Data) -> bool:
        """Says whether the other is the same dataset, or one like it made when this one was gone."""
        if self._reference is None or other._reference is None:
            return False
        mine = self._reference()
        return mine is other._reference() if mine is not None else self._kind is not None and self._kind == other._kind
