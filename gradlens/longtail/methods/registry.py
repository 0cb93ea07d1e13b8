"""Finds a method by its name. Each file of this folder and of its folders lists its methods in ``METHODS``."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path

from gradlens.longtail.errors import LongTailError, did_you_mean
from gradlens.longtail.methods.method import Method

_ROOM = "gradlens.longtail.methods"
_FILES = sorted(
    {file.name for file in pkgutil.walk_packages([str(Path(__file__).parent)], f"{_ROOM}.")} - {f"{_ROOM}.registry"}
)
_FOUND = [method for name in _FILES for method in getattr(import_module(name), "METHODS", ())]
METHODS: dict[str, Method] = {method.name: method for method in sorted(_FOUND, key=lambda method: method.name)}


def find_method(name: str) -> Method:
    """Returns the method of a name.

    Raises:
        LongTailError: There is no such method. The message has the nearest name, and all.
    """
    if name not in METHODS:
        hint = did_you_mean(name, METHODS)
        width = max(map(len, METHODS))
        listed = "\n".join(f"  {method.name:{width}} {method.described}" for method in METHODS.values())
        raise LongTailError(f"no method {name!r}{hint}; there are\n{listed}")
    return METHODS[name]
