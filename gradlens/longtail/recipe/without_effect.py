"""Finds settings that were given and have no effect, since another setting has a value that does without them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.recipe.settings import Settings


@dataclass(frozen=True)
class _Need:
    """Settings that need another one.

    Attributes:
        names: The settings.
        of: The other setting.
        met: Whether they have an effect with its value.
        way_out: A value of it with which they have one.
    """

    names: tuple[str, ...]
    of: str
    met: Callable[[Any], bool]
    way_out: str


AFTER = "cosine-after-warm-up"


def _steps(value: Any) -> bool:
    return bool(value == "steps")


def _cosine(value: Any) -> bool:
    return bool(value == "cosine")


_NEEDS = (
    _Need(("steps_at", "steps_by"), "schedule", _steps, "steps"),
    _Need(("steps_at_2", "steps_by_2"), "schedule_2", _steps, "steps"),
    _Need(("scale",), "classifier", _cosine, "cosine"),
    _Need(("taus",), "tau", lambda tau: tau is None, "null"),
    _Need(("warm_up_first",), "warm_up", lambda epochs: epochs > 0, "5"),
    _Need(("warm_up_from",), "schedule", lambda kind: kind == AFTER, AFTER),
)


def check_effects(settings: Settings, given: Iterable[str]) -> None:
    """Makes sure that each given setting has an effect.

    Args:
        settings: All settings of the training.
        given: Names of those that were given.

    Raises:
        LongTailError: One has no effect. The message names the setting that it needs, and the way out.
    """
    given = set(given)
    for need in _NEEDS:
        if need.of not in settings or need.met(settings[need.of]):
            continue
        for name in need.names:
            if name in given and name in settings:
                raise LongTailError(
                    f"{name}={settings[name]!r} has no effect with {need.of}={settings[need.of]!r}; leave it out, or set "
                    f"{need.of}={need.way_out}"
                )
