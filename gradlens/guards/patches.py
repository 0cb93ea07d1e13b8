"""The registry of patches: every function of torch that gradlens replaces is replaced, and put back, here.

To add one, describe it with a ``Patch`` beside the code that understands it, and ``listen`` to it:

    SCALE = Patch(torch.amp.GradScaler, "scale", _noting)  # _noting(original, listeners) returns the wrapper
    leave = listen(SCALE, listener)
    ...
    leave()

The first listener has the function replaced; the last one that leaves has it put back. Between, every lens, tracker and
callback that wants the calls is a listener, in whatever order they come and go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

L = TypeVar("L")


class Listeners(Generic[L]):
    """Who wants the calls of a function now; a wrapper reads it in each call.

    Attributes:
        all: In the order in which they came.
        newest: The last of them; None: nobody listens, and the wrapper does what the original does.
    """

    def __init__(self) -> None:
        self.all: tuple[L, ...] = ()
        self.newest: L | None = None

    def set(self, listeners: tuple[L, ...]) -> None:
        """Replaces all of them; a wrapper that runs meanwhile goes on with those that it has read."""
        self.all = listeners
        self.newest = listeners[-1] if listeners else None


@dataclass(frozen=True, eq=False)
class Patch(Generic[L]):
    """A function that gradlens replaces.

    Attributes:
        owner: The module or class that it is an attribute of.
        name: The attribute.
        wrap: Returns the wrapper of (the original, its listeners). The wrapper must do what the original does where nobody
            listens: somebody may keep a reference to it for good.
    """

    owner: Any
    name: str
    wrap: Callable[[Callable[..., Any], Listeners[L]], Any]


@dataclass(frozen=True)
class _Placed:
    """A wrapper that was made once and is put in place whenever somebody listens.

    Attributes:
        wrapper: It.
        before: What stood in the attribute before; _INHERITED: nothing, a base class has it.
        listeners: Who wants its calls.
    """

    wrapper: Any
    before: Any
    listeners: Listeners[Any]


_INHERITED = object()
_placed: dict[Patch[Any], _Placed] = {}
# What others had put over a wrapper of ours when its last listener left: it calls ours, presumably.
_covers: dict[Patch[Any], Any] = {}


def listen(patch: Patch[L], listener: L) -> Callable[[], None]:
    """Has a listener get the calls of a function; returns what ends that, where a second call does nothing.

    Args:
        patch: The function.
        listener: What the wrapper of ``patch`` expects.
    """
    placed = _place(patch)
    placed.listeners.set((*placed.listeners.all, listener))
    gone = False

    def leave() -> None:
        nonlocal gone
        if not gone:
            gone = True
            _leave(patch, listener)

    return leave


def _place(patch: Patch[L]) -> _Placed:
    """Sees to it that the calls reach our wrapper: the one made before, wherever that is possible."""
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
    """Whether calls reach a wrapper of ours, or do when it is put back into its place."""
    if now is placed.wrapper or now is placed.before:
        return True
    # Somebody else's function; it was put over ours while ours was in place.
    return bool(placed.listeners.all) or now is _covers.get(patch)


def _leave(patch: Patch[Any], listener: Any) -> None:
    listeners = _placed[patch].listeners
    at = next(number for number, other in enumerate(listeners.all) if other is listener)
    listeners.set(listeners.all[:at] + listeners.all[at + 1 :])
    if not listeners.all:
        _put_back(patch)


def _put_back(patch: Patch[Any]) -> None:
    """Puts the original back, and what lies below it that nobody listens to any more either."""
    while (idle := _idle(_attribute(patch))) is not None:
        before = _placed[idle].before
        if before is _INHERITED:
            delattr(idle.owner, idle.name)
        else:
            setattr(idle.owner, idle.name, before)
    if (now := _attribute(patch)) is not _placed[patch].before:
        _covers[patch] = now


def _idle(function: Any) -> Patch[Any] | None:
    """Returns the patch whose wrapper this is, if nobody listens to it."""
    own = (patch for patch, placed in _placed.items() if placed.wrapper is function and not placed.listeners.all)
    return next(own, None)


def _attribute(patch: Patch[Any]) -> Any:
    return vars(patch.owner).get(patch.name, _INHERITED)
