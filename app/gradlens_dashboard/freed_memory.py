"""The heap of a server that reads columns of millions of rows, and lets go of them."""

from __future__ import annotations

import ctypes
import sys

# glibc's number of the parameter in <malloc.h>, and the bytes from which an allocation is a mapping of its own.
M_MMAP_THRESHOLD = -3
LARGE = 2**20


def give_back_large_arrays() -> None:
    """Has arrays of a megabyte and more given back to the system when nobody refers to them.

    By itself glibc raises that bound as soon as such an array is freed, and keeps the memory: some hundred megabytes after
    looking at a run of a million steps. Does nothing where the C library is another.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(M_MMAP_THRESHOLD, LARGE)
