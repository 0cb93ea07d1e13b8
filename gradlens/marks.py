"""``gradlens.phase``, ``mark`` and ``log``: a script names phases and moments and reports numbers; every active lens logs them.

A script may call them always: without an active lens they do nothing, except that ``gradlens track`` keeps them for its lens.
This file knows which lenses of the process are active.
"""

from __future__ import annotations

import warnings
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from gradlens.guards.warning import GradlensWarning

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

    def log(self, step: int | None = None, **values: Any) -> None:
        """Logs numbers at a step."""


class _Early(NamedTuple):
    """What was marked while no lens was active."""

    kind: str
    tell: Callable[[ActiveLens], None]


_lenses: list[ActiveLens] = []
# What was marked while no lens was active, if anybody wants it, the newest.
_early: deque[_Early] | None = None
EARLY = 1000
# Whether it was said that nobody keeps logged values.
_said = False


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
        left, _early = _early, None
        if any(early.kind == "log" for early in left or ()):
            _say_not_kept()

    return end


def catch_up(lens: ActiveLens) -> None:
    """Logs in a lens that has begun what was marked before it."""
    while _early:
        _early.popleft().tell(lens)


def phase(name: str) -> None:
    """Logs in every active lens that a phase begins, named "II" for example. Does nothing if there is no lens.

    Under ``gradlens track``, a phase that is named before the first step is logged when measuring begins.

    Example:
        >>> import gradlens
        >>> gradlens.phase("II")  # figures draw the steps from here on as a band of this name
    """
    _tell("phase", lambda lens: lens.phase(name))


def mark(text: str) -> None:
    """Logs a text at this moment in every active lens. Does nothing if there is no lens; see ``phase``.

    Example:
        >>> import gradlens
        >>> gradlens.mark("new data")  # figures draw a line of this name here
    """
    _tell("mark", lambda lens: lens.mark(text))


def log(step: int | None = None, **values: Any) -> None:
    """Logs numbers of the training itself in every active lens: a validation loss, a learning rate.

    They stand in the run beside what was measured (``Run.logged``), in reports and in the dashboard. Without a lens nothing is
    kept, which a GradlensWarning says once. Under ``gradlens track``, values that are logged before its lens begins get its
    first step.

    A tensor may have one element. On a CPU it is read at once. From a GPU it is copied without waiting for the device, and read
    when it has arrived; on other devices ``log`` waits for it. In several processes only the first one writes.

    Args:
        step: The optimizer step that the values belong to; None = the current one.
        **values: Name -> value. A value that is not finite is logged as NaN. ``log(**{"val/loss": 0.3})`` takes any name.

    Raises:
        TypeError: The step is no whole number, or a value is no single number.
        ValueError: The step is negative, or a name is empty, too long or cannot be printed.

    Example:
        >>> import gradlens
        >>> from gradlens import Run
        >>> gradlens.log(val_loss=0.31, lr=0.05)  # doctest: +SKIP
        >>> Run("runs/digits").logged_names  # this run has none
        ()
    """
    from gradlens.reported.scalars import as_number, check

    check(step, values)
    if not _lenses and _early is not None:  # the script may change a tensor before there is a lens
        values = {name: as_number(value) for name, value in values.items()}
    if not _tell("log", partial(_log, step, values)):
        _say_not_kept()


def _log(step: int | None, values: dict[str, Any], lens: ActiveLens) -> None:
    lens.log(step, **values)


def _tell(kind: str, tell: Callable[[ActiveLens], None]) -> bool:
    """Has every active lens do something, or keeps it for the first one to come. Returns False if nobody wants it."""
    if not _lenses and _early is not None:
        _early.append(_Early(kind, tell))
        return True
    for lens in _lenses:
        tell(lens)
    return bool(_lenses)


def _say_not_kept() -> None:
    global _said
    if not _said:
        _said = True
        warnings.warn(
            "gradlens.log keeps nothing: no lens measures this training; run it with `gradlens track`, or inside a gradlens.Lens",
            GradlensWarning,
            stacklevel=3,
        )


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
