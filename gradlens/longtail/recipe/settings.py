"""``Settings``: the hyper-parameters of a training. Each has a source: where its value comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gradlens.longtail.errors import LongTailError, did_you_mean

PAPER = "paper, Appendix A"


@dataclass(frozen=True)
class Setting:
    """One hyper-parameter.

    Attributes:
        value: A number, text, bool, None, or tuple of these.
        source: Where the value comes from: a section of the paper, a repository, a decision of gradlens, "command line".
        kind: Type of the value if it may also be None; None if it may not.
    """

    value: Any
    source: str
    kind: type | None = None


def settings_from(source: str, **values: Any) -> dict[str, Setting]:
    """Returns settings that have one source."""
    return {name: Setting(value, source) for name, value in values.items()}


class Settings(Mapping[str, Any]):
    """Named hyper-parameters. ``settings[name]`` is the value, ``settings.source(name)`` is where it comes from."""

    def __init__(self, table: Mapping[str, Setting]) -> None:
        self._table = dict(table)

    def __getitem__(self, name: str) -> Any:
        return self._table[name].value

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    def source(self, name: str) -> str:
        """Returns where a value comes from."""
        return self._table[name].source

    def kind(self, name: str) -> type | None:
        """Returns the type of a value that may also be None; None for a value that may not."""
        return self._table[name].kind

    def plus(self, table: Mapping[str, Setting]) -> Settings:
        """Returns these settings and those of ``table``. If both have a name, ``table`` is used."""
        return Settings({**self._table, **table})

    def changed(self, changes: Mapping[str, Any], source: str = "command line") -> Settings:
        """Returns these settings with other values for some of them.

        Args:
            changes: Name -> new value of the same type. An int is accepted for a float.
            source: Recorded as the source of the new values.

        Raises:
            LongTailError: A name is unknown, or a value has another type.
        """
        table = dict(self._table)
        for name, value in changes.items():
            if name not in table:
                hint = did_you_mean(name, table)
                raise LongTailError(f"no setting {name!r}{hint}; there are {', '.join(sorted(table))}")
            table[name] = Setting(_checked(name, value, table[name]), source, table[name].kind)
        return Settings(table)

    def to_json(self) -> dict[str, dict[str, Any]]:
        """Returns {name: {"value": ..., "source": ...}} for run.json."""
        return {
            name: {"value": list(s.value) if isinstance(s.value, tuple) else s.value, "source": s.source}
            for name, s in self._table.items()
        }


def parse_assignments(texts: list[str]) -> dict[str, Any]:
    """Returns name -> value from ``NAME=VALUE`` texts.

    Values are read as JSON (``true``, ``0.05``, ``[0.8, 0.9]``). A value that is not JSON is a text.

    Raises:
        LongTailError: A text has no "=", or no name before it.
    """
    changes: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise LongTailError(f"cannot read the setting {text!r}; write NAME=VALUE, e.g. tau=0.05")
        try:
            changes[name.strip()] = json.loads(value)
        except ValueError:
            changes[name.strip()] = value.strip()
    return changes


def _checked(name: str, value: Any, setting: Setting) -> Any:
    """Returns ``value`` in the type of the setting.

    Raises:
        LongTailError: It has another type.
    """
    if value is None and setting.kind is not None:
        return None
    kind = setting.kind or type(setting.value)
    if kind is float and type(value) is int:
        return float(value)
    if kind is tuple and isinstance(value, (list, tuple)) and all(type(number) in (int, float) for number in value):
        return tuple(value)
    if kind is tuple or type(value) is not kind:
        kinds = "list of numbers" if kind is tuple else kind.__name__
        like = "" if setting.value is None else f" like {json.dumps(setting.value)}"
        raise LongTailError(
            f"{name}={value!r}; needed is a value{like} ({kinds}{' or null' if setting.kind is not None else ''})"
        )
    return value
