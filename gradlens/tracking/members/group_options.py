"""The options of `gradlens track` for groups of an attribute: ``--members PATH``, with ``--groups NAME=VALUES,...``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gradlens.tracking.errors import TrackError
from gradlens.tracking.find.batch_path import parse_path
from gradlens.tracking.options import RULES

OPTION = "--members"
GRAMMAR = "NAME=VALUES[,NAME=VALUES...] where VALUES are ids, ranges or texts joined by '+', e.g. photo=0,drawn=1-3"


def checked_members(
    text: str, groups: str | None, groups_from: dict[str, Any] | None, source: Path | None
) -> dict[str, Any] | None:
    """Returns the groups as JSON; None if each value is a group.

    Args:
        text: The text of ``--members``.
        groups: The text of ``--groups``, or None.
        groups_from: The groups of ``--groups-from``, or None.
        source: The path of ``--groups-from``, or None.

    Raises:
        TrackError: The text is no path, or the groups are made of something else.
    """
    path = parse_path(text, OPTION)
    if not path.steps:
        raise TrackError(
            f"{OPTION} {text!r} is the whole batch; name the place of the values in it: batch.domain or batch[2]"
        )
    if groups_from is not None:
        if groups_from.get("members") is None:
            raise TrackError(
                f"--groups-from {source}: its groups are made of classes; name values with --groups {GRAMMAR}"
            )
        return groups_from
    if groups is None or groups == "per-class":
        return None
    if groups in RULES:
        raise TrackError(
            f"--groups {groups} is a rule for classes; beside {OPTION}, leave it out or name values: {GRAMMAR}"
        )
    return _groups(groups, path.name)


def _groups(text: str, attribute: str) -> dict[str, Any]:
    from gradlens.class_ids import GroupsError
    from gradlens.classes.attribute import parsed_values
    from gradlens.groups import ClassGroups

    try:
        found = parsed_values(text)
        texts = [value for values in found.values() for value in values if isinstance(value, str)]
        if not texts:
            count = max(int(value) for values in found.values() for value in values) + 1
            return ClassGroups.of_attribute(attribute, count, found).to_json()
        if len(texts) < sum(map(len, found.values())):
            raise GroupsError("some values are texts and some are numbers; name texts only, or ids only")
        return ClassGroups.of_attribute(attribute, list(dict.fromkeys(texts)), found).to_json()
    except GroupsError as error:
        raise TrackError(f"--groups: {error}; write {GRAMMAR}") from error
