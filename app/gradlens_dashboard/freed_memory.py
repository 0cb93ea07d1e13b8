"""Gives the memory of large freed arrays back to the system. The server reads columns of millions of rows."""

from __future__ import annotations

import ctypes
import sys

# The number of this parameter in glibc's <malloc.h>. Allocations of at least LARGE bytes become memory mappings of their own.
M_MMAP_THRESHOLD = -3
LARGE = 2**20


def give_back_large_arrays() -> None:
    """Sets the C library so that freed arrays of a megabyte or more go back to the system at once.

    By default glibc raises this limit as soon as such an array is freed, and keeps the memory: some hundred megabytes after a
    run of a million steps was shown. With other C libraries this does nothing.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(M_MMAP_THRESHOLD, LARGE)
