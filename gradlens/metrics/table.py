"""The catalogue as a table for pages: ``python -m gradlens.metrics.table README.md`` writes it between the page's two markers.

The first marker says which quantities: ``<!-- quantities: gradient measurement -->`` those about the gradient and about the
measurement, ``<!-- quantities -->`` all.
"""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path

from gradlens.metrics.catalogue import QUANTITIES, Quantity

MARKED = re.compile(r"(<!-- quantities(?:: ([a-z ]+))? -->\n).*?(<!-- end of quantities -->)", re.DOTALL)


def with_table(page: str) -> str:
    """Returns a page with the table of today between its markers.

    Raises:
        ValueError: It has no markers.
    """
    if not MARKED.search(page):
        raise ValueError(
            "the page has no markers; write <!-- quantities --> and <!-- end of quantities --> around its table"
        )
    return MARKED.sub(lambda found: f"{found[1]}\n{table(found[2])}\n{found[3]}", page)


def table(about: str | None = None) -> str:
    """Returns the quantities as a table in markdown; with ``about``, only those about one of its words."""
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
