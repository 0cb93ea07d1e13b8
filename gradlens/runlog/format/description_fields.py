"""Checks the type and range of each field of a run.json. Fields that do not fit are left out, and reported."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

LATEST = 1e11  # Unix seconds, in the year 5138
MOST_CLASSES = 10_000_000
STATES = ("running", "finished", "failed", "interrupted")


def sound_fields(obj: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Returns the known fields that have the right type and range, and a text for each known field that has not.

    Earlier versions did not check what they were given. So a number in the place of a text becomes a text.
    """
    kept: dict[str, Any] = {}
    problems = []
    for name, (read, wanted) in FIELDS.items():
        if name not in obj:
            continue
        try:
            kept[name] = read(obj[name])
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            problems.append(f"{name} is {_short(obj[name])}, {wanted} is needed; it is left out")
    extra = kept.get("extra", {})
    for name in ("steps", "starts"):
        if name in extra and not _is_whole(extra[name]):
            problems.append(f"extra.{name} is {_short(extra[name])}, a whole number is needed; it is left out")
            del extra[name]
    return kept, problems


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53


def _none_or(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


def _text(value: Any) -> str:
    if isinstance(value, (dict, list)) or value is None:
        raise ValueError
    return str(value)


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError
    return tuple(map(_text, value))


def _state(value: Any) -> str:
    if value not in STATES:
        raise ValueError
    return str(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or int(value) != value or abs(value) >= 1 << 64:
        raise ValueError
    return int(value)


def _pid(value: Any) -> int:
    if not 0 <= _whole(value) < 1 << 31:
        raise ValueError
    return _whole(value)


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < LATEST:
        raise ValueError
    return float(value)


def _counts(value: Any) -> tuple[float, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or any(isinstance(n, bool) or not isinstance(n, (int, float)) for n in value):
        raise ValueError
    if not all(math.isfinite(n) and 0 <= n < 1 << 53 for n in value):
        raise ValueError
    return tuple(value)


def _facts(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError
    return value


def _groups(value: Any) -> dict[str, Any]:
    """Checks the frame of a groups' description. ``ClassGroups`` checks the names and the classes in it."""
    classes, members = value["num_classes"], value["groups"]
    if not _is_whole(classes) or not 1 <= classes <= MOST_CLASSES or not isinstance(members, dict):
        raise ValueError
    if not all(isinstance(ids, list) and all(map(_is_whole, ids)) for ids in members.values()):
        raise ValueError
    if sum(map(len, members.values())) > classes:
        raise ValueError
    return dict(value)


def _files(value: Any) -> dict[str, dict[str, Any]]:
    """Checks ``RunMeta.files``."""
    found = {}
    for name, facts in value.items():
        rows, digest, lines = facts.get("rows"), facts.get("digest"), facts.get("lines")
        if rows is not None and not _is_whole(rows):
            raise ValueError
        if digest is not None and not isinstance(digest, str):
            raise ValueError
        if lines is not None and not all(k.isdecimal() and len(k) < 10 and _is_whole(n) for k, n in lines.items()):
            raise ValueError
        found[str(name)] = dict(facts)
    return found


_TEXT = (_none_or(_text), "a text")
_NAMES = (_texts, "a list of texts")
_FACTS = (_facts, "an object")
_TIME = (_none_or(_seconds), "a time in Unix seconds")
FIELDS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "groups": (_groups, "a description of class groups"),
    "names": _NAMES,
    "layer_names": _NAMES,
    "class_counts": (_counts, "a list of counts"),
    "command": _NAMES,
    "gradlens": _TEXT,
    "torch": _TEXT,
    "git_commit": _TEXT,
    "seed": (_none_or(_whole), "a whole number"),
    "engine": _TEXT,
    "engine_reason": _TEXT,
    "cadence": _TEXT,
    "subset_hash": _TEXT,
    "hyperparameters": _FACTS,
    "dataset": _TEXT,
    "method": _TEXT,
    "status": (_state, f"one of {', '.join(STATES)}"),
    "reason": _TEXT,
    "pid": (_pid, "the number of a process"),
    "pid_start": _TEXT,
    "pid_namespace": _TEXT,
    "host": (_text, "a text"),
    "started": _TIME,
    "ended": _TIME,
    "timings": _FACTS,
    "extra": _FACTS,
    "id": _TEXT,
    "files": (_files, "an object of files"),
    "schema": (_whole, "a whole number"),
}
