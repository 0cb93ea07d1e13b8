"""Reads a file that names the group of each class: JSON ({"7": "tail", ...}) or CSV (lines ``class,group``)."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gradlens.class_ids import GroupsError

# The first line of a CSV file may hold these names.
HEADER = ("class", "group")


def read_group_file(path: Path, num_classes: int | None = None) -> dict[str, list[int]]:
    """Returns {group: class ids}, in the order in which the file names the groups.

    Args:
        path: A file whose name ends in .json or .csv.
        num_classes: C. If given, all ids must be below it.

    Raises:
        GroupsError: The file is missing or cannot be read, or a class is no class id, is there twice, or has no group.
    """
    groups: dict[str, list[int]] = {}
    seen: set[int] = set()
    for text, name in _pairs(path):
        stripped = text.strip()
        if not stripped.isdecimal():
            raise GroupsError(f"{path}: class {text!r} is unknown; name classes by their ids, whole numbers from 0 on")
        c = int(stripped)
        if num_classes is not None and c >= num_classes:
            raise GroupsError(
                f"{path}: class {c} is unknown: ids of {num_classes} classes run from 0 to {num_classes - 1}"
            )
        if c in seen:
            raise GroupsError(f"{path}: class {c} is there twice; leave it in one line")
        if not isinstance(name, str) or not name.strip():
            raise GroupsError(f"{path}: class {c} has no group; give it the name of a group, or leave it out")
        seen.add(c)
        groups.setdefault(name.strip(), []).append(c)
    if not groups:
        raise GroupsError(f"{path} names no class; write a group for each class, {_form(path)}")
    return groups


def _pairs(path: Path) -> Iterable[tuple[str, Any]]:
    if path.suffix not in (".json", ".csv"):
        raise GroupsError(f"{path} ends in {path.suffix!r}; groups are read from .json and .csv")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise GroupsError(f"{path} is missing; give a file that names the group of each class") from error
    except (OSError, UnicodeDecodeError) as error:
        raise GroupsError(f"{path} cannot be read as text: {error}") from error
    return _of_json(path, text) if path.suffix == ".json" else _of_csv(path, text)


def _of_json(path: Path, text: str) -> Iterable[tuple[str, Any]]:
    try:
        # Pairs, not a dict: of a key that is there twice, a dict would keep the last one in silence.
        found = json.loads(text, object_pairs_hook=list)
    except json.JSONDecodeError as error:
        raise GroupsError(f"{path} is no JSON: {error}; write {_form(path)}") from error
    if not isinstance(found, list) or not all(isinstance(pair, tuple) for pair in found):
        raise GroupsError(f"{path} holds no JSON object; write {_form(path)}")
    return found


def _of_csv(path: Path, text: str) -> Iterable[tuple[str, Any]]:
    for number, row in enumerate(csv.reader(text.splitlines())):
        if not row or (number == 0 and tuple(cell.strip().lower() for cell in row) == HEADER):
            continue
        if len(row) != len(HEADER):
            raise GroupsError(f"{path}: line {number + 1} is {','.join(row)!r}; write {_form(path)}")
        yield row[0], row[1]


def _form(path: Path) -> str:
    return '{"0": "head", "7": "tail"}' if path.suffix == ".json" else "lines such as 0,head"
