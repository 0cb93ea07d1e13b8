"""Finds a method by its name. Each file of this folder lists its methods in ``METHODS``."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.method import Method

_FILES = sorted({file.name for file in pkgutil.iter_modules([str(Path(__file__).parent)])} - {"registry"})
_FOUND = [
    method for name in _FILES for method in getattr(import_module(f"gradlens.longtail.methods.{name}"), "METHODS", ())
]
METHODS: dict[str, Method] = {method.name: method for method in sorted(_FOUND, key=lambda method: method.name)}


def find_method(name: str) -> Method:
    """Returns the method of a name.

    Raises:
        LongTailError: There is no such method.
    """
    if name not in METHODS:
        listed = "\n".join(f"  {method.name:17} {method.described}" for method in METHODS.values())
        raise LongTailError(f"no method {name!r}; there are\n{listed}")
    return METHODS[name]
