"""GrowingFile: reads a file that grows meanwhile.

At most MOST_OPEN of these files are open at a time, because a system allows about a thousand open files. They are read, not
mapped into memory: another program may make a file shorter at any time (``scp`` and ``cp`` over an existing file do). An access
to the lost part of a mapped file would kill the process.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from io import RawIOBase
from pathlib import Path
from typing import Any, TypeVar

from gradlens.runlog.errors import RunError
from gradlens.runlog.format.regular import open_regular, reason

MOST_OPEN = 48
T = TypeVar("T")


class FileChangedError(RunError):
    """The file is no longer the one that was looked at."""


class GrowingFile:
    """A file as it was at the last look.

    Attributes:
        path: The file.
        size: Its size in bytes at the last look.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._raw: RawIOBase | None = None
        self._file: tuple[int, int] | None = None

    def look(self) -> int:
        """Looks at the file. Returns its size in bytes; if it is smaller than ``size``, ``size`` does not change.

        Raises:
            OSError: It cannot be opened.
        """
        with _LOCK:
            raw = open_regular(self.path).detach()
            found = os.fstat(raw.fileno())
            if found.st_size > self.size:
                self._keep(raw)
                self.size, self._file = found.st_size, (found.st_dev, found.st_ino)
            else:
                raw.close()
            return found.st_size

    def read(self, at: int, count: int) -> bytes:
        """Returns ``count`` bytes from byte ``at`` on.

        Raises:
            FileChangedError: The file has gone, is shorter or another one now.
        """
        found = self._at(at, lambda raw: raw.read(count) or b"")
        if len(found) < count:
            raise self._changed("was cut while it was read; open the run again")
        return found

    def fill(self, at: int, buffer: Any) -> None:
        """Reads as many bytes as a writable buffer holds, from byte ``at`` on.

        Raises:
            FileChangedError: The file has gone, is shorter or another one now.
        """
        count = self._at(at, lambda raw: raw.readinto(buffer) or 0)
        if count < memoryview(buffer).nbytes:
            raise self._changed("was cut while it was read; open the run again")

    def forget(self) -> None:
        """Forgets the size, because the file was cut."""
        with _LOCK:
            self._close()
            self.size = 0

    def _at(self, at: int, read: Callable[[RawIOBase], T]) -> T:
        """Returns the result of ``read``, which is given the open file at byte ``at``.

        Raises:
            FileChangedError: It is no longer the file that was looked at.
        """
        with _LOCK:
            try:
                raw = self._raw or self._open_again()
                raw.seek(at)
                return read(raw)
            except OSError as error:
                raise self._changed(f"can no longer be read: {reason(error)}") from error

    def _changed(self, how: str) -> FileChangedError:
        return FileChangedError(f"{self.path} {how}")

    def _open_again(self) -> RawIOBase:
        raw = open_regular(self.path).detach()
        found = os.fstat(raw.fileno())
        if (found.st_dev, found.st_ino) != self._file or found.st_size < self.size:
            raw.close()
            raise self._changed("was replaced while it was read; open the run again")
        self._keep(raw)
        return raw

    def _keep(self, raw: RawIOBase) -> None:
        self._close()
        self._raw = raw
        _OPEN[id(self)] = self
        while len(_OPEN) > MOST_OPEN:
            next(iter(_OPEN.values()))._close()

    def _close(self) -> None:
        _OPEN.pop(id(self), None)
        if self._raw is not None:
            self._raw.close()
            self._raw = None


_LOCK = threading.RLock()
_OPEN: OrderedDict[int, GrowingFile] = OrderedDict()
