"""Decides which measurements are checked against independent pull-backs over all parameters."""

from __future__ import annotations

CHECK_EVERY = 50


def is_checked(number: int, *, always_exact: bool) -> bool:
    """Says whether a measurement is checked: the first, and then every 50th.

    An engine that is not exact for every model is also checked at the 2nd, 3rd, 5th, 9th, 17th and 33rd measurement: a model
    may mix its samples in some forward passes only.

    Args:
        number: How many measurements came before.
        always_exact: Whether the engine is exact for every model.
    """
    early = number < CHECK_EVERY and number & (number - 1) == 0  # 0, 1, 2, 4, 8, ...
    return number % CHECK_EVERY == 0 or (early and not always_exact)
