"""Writes the catalogue as a table into a page: ``python -m gradlens.metrics.table README.md``.

The table is put between two markers. The first marker says which quantities it has: ``<!-- quantities -->`` means all,
``<!-- quantities: gradient measurement -->`` those about the gradient and about the measurement.
"""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path

from gradlens.metrics.catalogue import QUANTITIES, Quantity

MARKED = re.compile(r"(<!-- quantities(?:: ([a-z ]+))? -->\n).*?(<!-- end of quantities -->)", re.DOTALL)


def with_table(page: str) -> str:
    """Returns a page with the present table between its markers.

    Raises:
        ValueError: The page has no markers.
    """
    if not MARKED.search(page):
        raise ValueError(
            "the page has no markers; write <!-- quantities --> and <!-- end of quantities --> around its table"
        )
    return MARKED.sub(lambda found: f"{found[1]}\n{table(found[2])}\n{found[3]}", page)


def table(about: str | None = None) -> str:
    """Returns a table of quantities in Markdown.

    Args:
        about: Words such as "gradient measurement": only the quantities about one of them are listed. None: all.
    """
    shown = [quantity for quantity in QUANTITIES.values() if about is None or quantity.about in about.split()]
    rows = [
        f"| {quantity.title} | `{quantity.name}` | {quantity.definition.replace('|', chr(92) + '|')} | {range_text(quantity)} |"
        for quantity in shown
    ]
    return "\n".join(["| quantity | name | definition | range |", "|---|---|---|---|", *rows, ""])


def range_text(quantity: Quantity) -> str:
    """Returns the range of a quantity in words."""
    low, high = quantity.range
    if math.isinf(low):
        return "any"
    return f"{low:g} or more" if math.isinf(high) else f"{low:g} to {high:g}"


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(with_table(path.read_text("utf-8")), "utf-8")
