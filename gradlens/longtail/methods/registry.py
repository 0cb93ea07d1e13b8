"""Finding a method by its name."""

from __future__ import annotations

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.dual_phase import DUAL_PHASE
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.single_phase import CE, PLAIN, PLAIN_2T

METHODS: dict[str, Method] = {method.name: method for method in (CE, PLAIN, PLAIN_2T, DUAL_PHASE)}


def find_method(name: str) -> Method:
    """Returns the method of a name.

    Raises:
        LongTailError: No such method.
    """
    if name not in METHODS:
        listed = "\n".join(f"  {method.name:11} {method.summary}" for method in METHODS.values())
        raise LongTailError(f"no method {name!r}; there are\n{listed}")
    return METHODS[name]
