"""The values of an attribute that groups are made of: their names and their number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

from gradlens.class_ids import GroupsError, parsed_range


def checked_attribute(name: object) -> str | None:
    """Returns the name of the attribute that groups are made of, or None for classes.

    Raises:
        GroupsError: It is no text.
    """
    if name is None or (isinstance(name, str) and name.strip()):
        return name
    raise GroupsError(f"the attribute is {name!r}; give its name, such as 'domain'")


def counted_values(values: object) -> tuple[int, tuple[str, ...]]:
    """Returns how many values an attribute has, and their names; () if they have none.

    Args:
        values: The names, or the number.

    Raises:
        GroupsError: It is neither.
    """
    if isinstance(values, Integral) and int(values) >= 1:
        return int(values), ()
    if not isinstance(values, Sequence) or not len(values):
        raise GroupsError(f"the values are {values!r}; give their names (['photo', 'sketch']), or how many there are")
    return len(values), checked_values(values, len(values))


def checked_values(values: object, count: int) -> tuple[str, ...]:
    """Returns the names of an attribute's values; () if they have none.

    Raises:
        GroupsError: They are not ``count`` different texts.
    """
    names = () if isinstance(values, str) or not isinstance(values, Iterable) else tuple(values)
    if isinstance(values, str) or not all(isinstance(name, str) and name.strip() for name in names):
        raise GroupsError(f"the values are {values!r}; give a name for each: ['photo', 'sketch']")
    if names and (len(names) != count or len(set(names)) < count):
        raise GroupsError(
            f"{len(set(names))} different names {list(names)} for {count} values; give each value a name of its own"
        )
    return names


def ids_of_values(group: str, values: Iterable[int | str], names: Sequence[str]) -> list[Any]:
    """Returns the ids of a group's values. Values that are no text are returned as they are.

    Raises:
        GroupsError: A value's name is unknown.
    """
    if isinstance(values, str):
        raise GroupsError(f"group {group!r} holds {values!r}, which is no list of values; write [{values!r}]")
    ids = {name: at for at, name in enumerate(names)}
    found: list[Any] = [ids.get(value, value) if isinstance(value, str) else value for value in values]
    if unknown := [value for value in found if isinstance(value, str)]:
        raise GroupsError(f"group {group!r} holds {unknown[0]!r}, which is no value; the values are {', '.join(names)}")
    return found


def parsed_values(text: str) -> dict[str, list[int | str]]:
    """Reads ``photo=0,drawn=1-3`` or ``photo=photo,drawn=sketch+cartoon``: for each group its values, as ids or as texts.

    Raises:
        GroupsError: The text does not follow this grammar.
    """
    found: dict[str, list[int | str]] = {}
    for part in text.split(","):
        name, equals, values = (piece.strip() for piece in part.partition("="))
        if not equals or not name or not all(value.strip() for value in values.split("+")):
            raise GroupsError(f"cannot read {part.strip()!r} in groups {text!r}")
        if name in found:
            raise GroupsError(f"group {name!r} is named twice in {text!r}; join its values with '+'")
        found[name] = [value for item in values.split("+") for value in _value(item.strip(), text)]
    return found


def _value(item: str, text: str) -> Sequence[int | str]:
    return parsed_range(item, text) if item.replace("-", "").isdecimal() else [item]
