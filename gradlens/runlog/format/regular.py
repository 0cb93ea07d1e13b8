"""Opens regular files only. A pipe or a device in a run's folder must not stop a reader."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path


class NotRegularError(OSError):
    """The path is no regular file."""


class TooLargeError(OSError):
    """The file is larger than any that gradlens writes."""


def open_regular(path: Path, most: int | None = None) -> BufferedReader:
    """Opens a file for reading.

    Args:
        path: The file.
        most: The most bytes that the file may have; None: any number.

    Raises:
        NotRegularError: The path is a pipe, a socket, a device or a folder.
        TooLargeError: The file has more bytes than ``most``.
        OSError: It cannot be opened.
    """
    # O_NONBLOCK: a pipe without a writer would keep a reader waiting for ever.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise NotRegularError(errno.EINVAL, "it is no regular file", str(path))
        if most is not None and found.st_size > most:
            raise TooLargeError(errno.EFBIG, f"it has {found.st_size:,} bytes, more than gradlens writes", str(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def reason(error: OSError) -> str:
    """Returns the system's text about an error, without the path."""
    return error.strerror or type(error).__name__
