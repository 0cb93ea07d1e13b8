"""Files mapped into memory, few of them at a time: each one costs a handle, and a system allows a thousand."""

from __future__ import annotations

import mmap
import os
import threading
from collections import OrderedDict
from pathlib import Path

from gradlens.runlog.errors import RunError
from gradlens.runlog.regular import open_regular, reason

MOST_OPEN = 48


class MappedFile:
    """A file that grows. What was looked at last is mapped; it is mapped again when it is asked for later.

    Attributes:
        path: The file.
        size: Its bytes when it was looked at last.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._map: mmap.mmap | None = None
        self._file: tuple[int, int] | None = None

    def look(self) -> int:
        """Looks at the file, maps it where it has grown, and returns its bytes; fewer than ``size`` change nothing.

        Raises:
            OSError: It cannot be opened.
        """
        with _LOCK:
            with open_regular(self.path) as file:
                found = os.fstat(file.fileno())
                if found.st_size > self.size:
                    self._show(mmap.mmap(file.fileno(), found.st_size, access=mmap.ACCESS_READ), found)
            return found.st_size

    def content(self) -> mmap.mmap:
        """Returns the mapped bytes.

        Raises:
            RunError: The file has gone, or is another one now.
        """
        content = self._map
        if content is not None:
            return content
        with _LOCK:
            try:
                with open_regular(self.path) as file:
                    found = os.fstat(file.fileno())
                    if (found.st_dev, found.st_ino) != self._file or found.st_size < self.size:
                        raise RunError(f"{self.path} was replaced while it was read; open the run again")
                    content = mmap.mmap(file.fileno(), self.size, access=mmap.ACCESS_READ)
                    self._show(content, found)
                    return content
            except OSError as error:
                raise RunError(f"{self.path} can no longer be read: {reason(error)}") from error

    def forget(self) -> None:
        """Begins anew, for a file that was cut."""
        with _LOCK:
            self._map, self.size = None, 0
            _OPEN.pop(id(self), None)

    def release(self) -> None:
        """Lets go of mapped pages: they stay cached, but do not count as this process's memory."""
        with _LOCK:
            if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
                self._map.madvise(mmap.MADV_DONTNEED)

    def _show(self, content: mmap.mmap, found: os.stat_result) -> None:
        self._map, self.size, self._file = content, len(content), (found.st_dev, found.st_ino)
        _OPEN[id(self)] = self
        _OPEN.move_to_end(id(self))
        while len(_OPEN) > MOST_OPEN:
            _OPEN.popitem(last=False)[1]._map = None  # closed as soon as nobody reads in it

    def __del__(self) -> None:
        _OPEN.pop(id(self), None)


_LOCK = threading.RLock()
_OPEN: OrderedDict[int, MappedFile] = OrderedDict()
