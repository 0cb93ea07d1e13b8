"""Passes: which DataLoader trains, and how many passes over its data have begun."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.utils.data import DataLoader


class Passes:
    """Counts passes over the training data.

    Attributes:
        count: Passes that have begun.
    """

    def __init__(self) -> None:
        self.count = 0
        self._loader: DataLoader[Any] | None = None
        self._trains = _Data(None)
        self._newest = _Data(None)
        self._settled = False

    def settle(self) -> DataLoader[Any] | None:
        """Returns the loader that was read last, which is the one that trains, and lets go of it."""
        loader, self._loader = self._loader, None
        self._trains = _Data(loader)
        self._settled = True
        return loader

    def move_on(self) -> None:
        """Takes the data that were read last for those that train now."""
        self._trains = self._newest

    def began(self, loader: DataLoader[Any]) -> bool:
        """Notes that the script begins to read a loader; says whether that is a new pass over the training data."""
        if not self._settled:
            self._loader = loader
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
