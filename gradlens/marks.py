"""``gradlens.phase`` and ``gradlens.mark``: a script names phases and moments, and every active lens logs them.

A script may call both always: without an active lens they do nothing, except that ``gradlens track`` keeps them for its lens.
This file knows which lenses of the process are active.
"""

from __future__ import annotations

from collections import deque
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
# What was marked while no lens was active, if anybody wants it: kinds and names, the newest.
_early: deque[tuple[str, str]] | None = None
EARLY = 1000


def enter(lens: ActiveLens) -> None:
    """Adds a lens to the active ones."""
    _lenses.append(lens)


def leave(lens: ActiveLens) -> None:
    """Removes a lens from the active ones. Does nothing if it is not among them."""
    if lens in _lenses:
        _lenses.remove(lens)


def keep_early() -> Callable[[], None]:
    """Keeps what is marked while no lens is active, for the next lens. Returns a function that ends this.

    A tracked script may name its first phase before its first step, when its model is not known yet.
    """
    global _early
    _early = deque(maxlen=EARLY)

    def end() -> None:
        global _early
        _early = None

    return end


def catch_up(lens: ActiveLens) -> None:
    """Logs in a lens that has begun what was marked before it."""
    while _early:
        kind, name = _early.popleft()
        lens.phase(name) if kind == "phase" else lens.mark(name)


def phase(name: str) -> None:
    """Logs in every active lens that a phase begins, named "II" for example. Does nothing if there is no lens.

    Under ``gradlens track``, a phase that is named before the first step is logged when measuring begins.

    Example:
        >>> import gradlens
        >>> gradlens.phase("II")  # figures draw the steps from here on as a band of this name
    """
    if not _lenses and _early is not None:
        _early.append(("phase", name))
    for lens in _lenses:
        lens.phase(name)


def mark(text: str) -> None:
    """Logs a text at this moment in every active lens. Does nothing if there is no lens; see ``phase``.

    Example:
        >>> import gradlens
        >>> gradlens.mark("new data")  # figures draw a line of this name here
    """
    if not _lenses and _early is not None:
        _early.append(("mark", text))
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
