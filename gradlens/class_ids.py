"""Class ids: reads them from lists and from text, and writes them as ranges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

GRAMMAR = (
    "NAME=IDS[,NAME=IDS...] where IDS are class ids and ranges joined by '+', "
    "e.g. head=0-69,tail=70-99 or odd=1+3+5,even=0+2+4"
)
# No task has so many classes.
MOST_CLASSES = 1_000_000
# The log gives these names to vectors that are no groups.
RESERVED = frozenset({"all", "rest", "update"})


class GroupsError(ValueError):
    """The given groups cannot be used. The message names the wrong value and the fix."""


def check_name(name: str) -> None:
    """Raises GroupsError if a group cannot have this name."""
    if not isinstance(name, str) or not name.strip():
        raise GroupsError(f"group name {name!r} is not a non-empty text; give every group a name")
    if name in RESERVED:
        raise GroupsError(f"group name {name!r} is reserved ({', '.join(sorted(RESERVED))}); choose another")
    if "/" in name:
        raise GroupsError(f"group name {name!r} holds '/', which separates loss component and group; choose another")


def checked_ids(name: str, ids: Iterable[Any]) -> set[int]:
    """Returns the class ids of a group from a list, range, array or tensor.

    A mask or fractions are refused: as whole numbers they would be the ids 0 and 1.
    """
    if isinstance(ids, (str, bytes, Mapping)) or not isinstance(ids, Iterable):
        raise GroupsError(f"group {name!r} holds {ids!r}, which is no list of class ids; write [0, 1, 2] or range(3)")
    array = ids.detach().cpu().numpy() if hasattr(ids, "detach") else np.asarray(list(ids))
    if array.ndim != 1 or (len(array) and not np.issubdtype(array.dtype, np.integer)):
        what = "a mask" if array.dtype == np.bool_ else f"{array.dtype} {list(array.shape)}"
        fix = (
            "np.flatnonzero(mask) gives its ids" if array.dtype == np.bool_ else "class ids are a list of whole numbers"
        )
        raise GroupsError(f"group {name!r} is {what}; {fix}")
    return {int(c) for c in array}


def checked_counts(class_counts: Sequence[int] | NDArray[Any]) -> NDArray[np.float64]:
    """Returns [C] class counts as numbers; raises GroupsError if they are something else."""
    try:
        counts = np.asarray(class_counts, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise GroupsError(
            f"class counts must be a list of one non-negative number per class, got {class_counts!r}"
        ) from error
    if counts.ndim != 1 or len(counts) == 0 or not np.isfinite(counts).all() or (counts < 0).any():
        raise GroupsError(f"class counts must be a list of one non-negative number per class, got {class_counts!r}")
    return counts


def parsed_range(item: str, text: str) -> range:
    """Returns the class ids of ``3`` or ``0-69``, an item of the text of ``--groups``."""
    low, dash, high = item.strip().partition("-")
    if not low.isdecimal() or (dash and not high.isdecimal()):
        raise GroupsError(f"cannot read ids {item.strip()!r} in groups {text!r}; write {GRAMMAR}")
    first, last = int(low), int(high) if dash else int(low)
    if last < first:
        raise GroupsError(f"range {item.strip()!r} in groups {text!r} runs backwards; write {last}-{first}")
    if last - first >= MOST_CLASSES:  # a typing mistake must not fill the memory
        raise GroupsError(
            f"range {item.strip()!r} in groups {text!r} holds more than {MOST_CLASSES:,} classes; correct it"
        )
    return range(first, last + 1)


def ranges_text(ids: Sequence[int]) -> str:
    """Writes ascending ids as ranges: (0, 1, 2, 5) gives '0-2+5'. Of more than 8 ranges it writes the first 8."""
    parts = [str(first) if first == last else f"{first}-{last}" for first, last in ranges(ids)]
    return "+".join(parts) if len(parts) <= 8 else "+".join(parts[:8]) + f"+... ({len(ids)} classes)"


def ranges(ids: Sequence[int]) -> list[tuple[int, int]]:
    """Returns (first, last) of each range in ascending ids: (0, 1, 2, 5) gives [(0, 2), (5, 5)]."""
    found: list[tuple[int, int]] = []
    start = previous = ids[0]
    for c in [*ids[1:], -1]:
        if c == previous + 1:
            previous = c
            continue
        found.append((start, previous))
        start = previous = c
    return found
