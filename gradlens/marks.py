"""``gradlens.phase`` and ``gradlens.mark``: a script names phases and moments, and every active lens logs them.

A script may call both always: without an active lens they do nothing. This file knows which lenses of the process are active.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from torch import Tensor


class ActiveLens(Protocol):
    """What this file needs from an active lens."""

    @property
    def parameters(self) -> Sequence[Tensor]:
        """The parameters that the lens measures."""
        ...

    def phase(self, name: str) -> None:
        """Logs that a phase begins."""

    def mark(self, text: str) -> None:
        """Logs a text at this moment."""


_lenses: list[ActiveLens] = []


def enter(lens: ActiveLens) -> None:
    """Adds a lens to the active ones."""
    _lenses.append(lens)


def leave(lens: ActiveLens) -> None:
    """Removes a lens from the active ones. Does nothing if it is not among them."""
    if lens in _lenses:
        _lenses.remove(lens)


def phase(name: str) -> None:
    """Logs in every active lens that a phase begins, named "II" for example. Does nothing if no lens is active.

    Example:
        >>> import gradlens
        >>> gradlens.phase("II")  # figures draw the steps from here on as a band of this name
    """
    for lens in _lenses:
        lens.phase(name)


def mark(text: str) -> None:
    """Logs a text at this moment in every active lens. Does nothing if no lens is active.

    Example:
        >>> import gradlens
        >>> gradlens.mark("new data")  # figures draw a line of this name here
    """
    for lens in _lenses:
        lens.mark(text)


def measured(params: Callable[[], Iterable[Tensor]], unless: ActiveLens | None) -> bool:
    """Says whether another active lens of this process measures one of these parameters.

    Args:
        params: Returns the parameters. It is not called if no other lens is active.
        unless: The lens that asks, and does not count.
    """
    own = {id(param) for lens in _lenses if lens is not unless for param in lens.parameters}
    return bool(own) and any(id(param) in own for param in params())


def present() -> bool:
    """Says whether a lens is active in this process."""
    return bool(_lenses)
