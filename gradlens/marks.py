"""The lenses at work in this process, for scripts that name phases and marks whether or not a lens is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from torch import Tensor


class AtWork(Protocol):
    """What is asked of a lens at work."""

    @property
    def parameters(self) -> Sequence[Tensor]:
        """The parameters that it measures."""
        ...

    def phase(self, name: str) -> None:
        """Names what follows."""

    def mark(self, text: str) -> None:
        """Marks this moment."""


_lenses: list[AtWork] = []


def enter(lens: AtWork) -> None:
    """Adds a lens to those at work."""
    _lenses.append(lens)


def leave(lens: AtWork) -> None:
    """Takes a lens away; nothing happens if it is not there."""
    if lens in _lenses:
        _lenses.remove(lens)


def phase(name: str) -> None:
    """Names what follows in the log of every active lens ("II"); does nothing where no lens is active."""
    for lens in _lenses:
        lens.phase(name)


def mark(text: str) -> None:
    """Marks this moment in the log of every active lens; does nothing where no lens is active."""
    for lens in _lenses:
        lens.mark(text)


def measured(params: Callable[[], Iterable[Tensor]], unless: AtWork | None) -> bool:
    """Says whether another lens at work in this process measures one of these parameters.

    Args:
        params: Finds them; not called where there is no other lens.
        unless: The lens that does not count.
    """
    own = {id(param) for lens in _lenses if lens is not unless for param in lens.parameters}
    return bool(own) and any(id(param) in own for param in params())


def present() -> bool:
    """Says whether a lens is at work in this process."""
    return bool(_lenses)
