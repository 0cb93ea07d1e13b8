"""The registry of patches: gradlens replaces functions of torch, and puts them back, only here.

To replace one more, describe it with a ``Patch``, in the file that knows what to do with the calls. Then add a listener:

    SCALE = Patch(torch.amp.GradScaler, "scale", _noting)  # _noting(original, listeners) returns the wrapper
    leave = listen(SCALE, listener)
    ...
    leave()

The function is replaced when the first listener comes, and put back when the last one leaves. Listeners are lenses,
trackers and callbacks. They may come and leave in any order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

L = TypeVar("L")


class Listeners(Generic[L]):
    """The listeners of one function. Its wrapper reads them in each call.

    Attributes:
        all: The listeners, in the order in which they came.
        newest: The last one; None if there is none, and then the wrapper does exactly what the original does.
    """

    def __init__(self) -> None:
        self.all: tuple[L, ...] = ()
        self.newest: L | None = None

    def set(self, listeners: tuple[L, ...]) -> None:
        """Replaces all listeners. A call that runs at this moment keeps the listeners that it has read."""
        self.all = listeners
        self.newest = listeners[-1] if listeners else None


@dataclass(frozen=True, eq=False)
class Patch(Generic[L]):
    """A function that gradlens replaces.

    Attributes:
        owner: The module or class that has the function as an attribute.
        name: The name of the attribute.
        wrap: Takes the original and its listeners, and returns the wrapper. Without a listener the wrapper must do what the
            original does, because somebody may keep a reference to the wrapper for ever.
    """

    owner: Any
    name: str
    wrap: Callable[[Callable[..., Any], Listeners[L]], Any]


@dataclass(frozen=True)
class _Placed:
    """A wrapper. It is made once, and used again each time that a listener comes.

    Attributes:
        wrapper: The wrapper.
        before: The value of the attribute before; _INHERITED if only a base class has the attribute.
        listeners: The listeners of the wrapper.
    """

    wrapper: Any
    before: Any
    listeners: Listeners[Any]


_INHERITED = object()
_placed: dict[Patch[Any], _Placed] = {}
# Functions of others that stood in place of our wrapper when its last listener left. They probably call our wrapper.
_covers: dict[Patch[Any], Any] = {}


def listen(patch: Patch[L], listener: L) -> Callable[[], None]:
    """Adds a listener to a function. Returns a function that removes it again; calling that twice does no harm.

    Args:
        patch: The function to listen to.
        listener: The object that the wrapper of ``patch`` works with.
    """
    placed = _place(patch)
    placed.listeners.set((*placed.listeners.all, listener))
    gone = False

    def leave() -> None:
        nonlocal gone
        if not gone:
            _leave(patch, listener)
            gone = True  # only now: if that fails, the next call tries again

    return leave


def _place(patch: Patch[L]) -> _Placed:
    """Makes sure that the calls reach our wrapper. Uses the wrapper that was made before, wherever that is possible."""
    now = _attribute(patch)
    placed = _placed.get(patch)
    if placed is None or not _reached(patch, placed, now):
        listeners: Listeners[L] = Listeners() if placed is None else placed.listeners
        wrapper = patch.wrap(getattr(patch.owner, patch.name), listeners)
        placed = _Placed(wrapper, now, listeners)
        setattr(patch.owner, patch.name, wrapper)
        _placed[patch] = placed
    elif now is placed.before:
        setattr(patch.owner, patch.name, placed.wrapper)
    _covers.pop(patch, None)
    return placed


def _reached(patch: Patch[Any], placed: _Placed, now: Any) -> bool:
    """Says whether calls reach our wrapper now, or will once it is put back in its place."""
    if now is placed.wrapper or now is placed.before:
        return True
    # The attribute is somebody else's function. It calls our wrapper if it was put there while our wrapper was in place.
    return bool(placed.listeners.all) or now is _covers.get(patch)


def _leave(patch: Patch[Any], listener: Any) -> None:
    listeners = _placed[patch].listeners
    at = next((number for number, other in enumerate(listeners.all) if other is listener), None)
    if at is not None:  # an earlier call may have failed after it was taken out
        listeners.set(listeners.all[:at] + listeners.all[at + 1 :])
    if not listeners.all:
        _put_back(patch)


def _put_back(patch: Patch[Any]) -> None:
    """Puts the original back. If that is itself a wrapper of ours without listeners, puts back its original, too."""
    while (idle := _idle(_attribute(patch))) is not None:
        before = _placed[idle].before
        if before is _INHERITED:
            delattr(idle.owner, idle.name)
        else:
            setattr(idle.owner, idle.name, before)
    if (now := _attribute(patch)) is not _placed[patch].before:
        _covers[patch] = now


def _idle(function: Any) -> Patch[Any] | None:
    """Returns the patch whose wrapper ``function`` is, if it has no listener; otherwise None."""
    own = (patch for patch, placed in _placed.items() if placed.wrapper is function and not placed.listeners.all)
    return next(own, None)


def _attribute(patch: Patch[Any]) -> Any:
    return vars(patch.owner).get(patch.name, _INHERITED)
