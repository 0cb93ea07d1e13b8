"""Appends rows and events to the files of a run. The files only grow: nothing that a reader has seen is changed."""

from __future__ import annotations

import errno
import os
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa

from gradlens.runlog.format.events import FILE as EVENTS
from gradlens.runlog.format.events import line_of
from gradlens.runlog.format.names import next_path, place_of
from gradlens.runlog.format.proof import proven_batch
from gradlens.runlog.format.schema import RowLayout, record_batch
from gradlens.runlog.format.text_proof import proven_text

# Rows in a batch. A killed process loses at most one batch; and the batch's metadata (about 1.5 kB) is small beside its rows.
BATCH_ROWS = 64
END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


class SegmentSink:
    """Appends rows of one layout to a new segment.

    If a write fails half-way, the file ends with a part of a batch. Readers skip it. ``broken`` is then True, and the next rows
    need a new segment.

    Attributes:
        layout: The layout of the rows.
        broken: Whether a write has failed.
        last_step: Step of the last written row, or None.
        rows: Number of written rows.
        digest: Checksum of the proofs of all batches.
        path: The file; None until the first row is written.
    """

    def __init__(self, folder: Path, layout: RowLayout, meta: dict[str, Any]) -> None:
        self.layout = layout
        self.broken = False
        self.last_step: int | None = None
        self.rows = self.digest = 0
        self.path: Path | None = None
        self._folder = folder
        self._meta = meta
        self._schema = layout.schema(meta)
        self._seed = 0
        self._handle: int | None = None
        self._file: tuple[int, int] = (0, 0)

    def write(self, rows: list[tuple[Any, ...]]) -> None:
        """Writes rows. Readers see all of them or, after an error, a whole number of batches.

        Raises:
            SinkError: The file system refuses. ``written`` of the exception says how many rows are written.
        """
        done = 0
        try:
            for start in range(0, len(rows), BATCH_ROWS):
                part = rows[start : start + BATCH_ROWS]
                batch = record_batch(self.layout, self._schema, part)
                if self._handle is None:
                    text = self._create(batch)
                else:
                    data, text = proven_batch(batch, self._schema, self.rows, self._seed)
                    self._write(memoryview(data))
                self.rows += len(part)
                self.digest = zlib.crc32(text, self.digest)
                done += len(part)
                self.last_step = part[-1][0]
        except OSError as error:
            raise SinkError(error, done) from error

    def close(self) -> None:
        """Writes Arrow's mark of the end, and closes the file. Without the mark it can be read as well.

        Raises:
            OSError: The file system refuses.
        """
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        found = os.fstat(handle)
        if (found.st_dev, found.st_ino) != self._file:
            return  # the script has closed it, and its number belongs to another file now
        try:
            if not self.broken:
                write_all(handle, memoryview(END_OF_STREAM))
        finally:
            os.close(handle)

    def _create(self, batch: pa.RecordBatch) -> bytes:
        path = next_path(self._folder, "measurements", "arrows")
        schema = self.layout.schema(self._meta, place_of(path))
        seed = RowLayout.from_schema(schema, path)[1].seed
        data, text = proven_batch(batch, schema, 0, seed)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)
        try:
            write_all(handle, memoryview(proven_text(schema.serialize().to_pybytes()) + data))
        except OSError:
            os.close(handle)
            os.unlink(path)  # it has no complete row, and the next try makes another file
            raise
        self._handle, self.path, self._schema, self._seed = handle, path, schema, seed
        found = os.fstat(handle)
        self._file = found.st_dev, found.st_ino
        return text

    def _write(self, data: memoryview) -> None:
        assert self._handle is not None
        try:
            found = os.fstat(self._handle)
            if (found.st_dev, found.st_ino) != self._file:
                self._handle = None  # the number belongs to a file of the script now
                raise OSError(errno.EBADF, "the script has closed the file")
            if not found.st_nlink:
                raise FileNotFoundError(errno.ENOENT, "the run's folder was removed")
            write_all(self._handle, data)
        except OSError:
            self.broken = True
            raise


class SinkError(OSError):
    """Rows could not be written.

    Attributes:
        written: How many of them were written.
    """

    def __init__(self, error: OSError, written: int) -> None:
        super().__init__(error.errno, error.strerror or str(error))
        self.written = written


class PartialWriteError(OSError):
    """A write that failed.

    Attributes:
        done: How many bytes were written before.
    """

    def __init__(self, error: OSError, done: int) -> None:
        super().__init__(error.errno, error.strerror or str(error))
        self.done = done


class EventSink:
    """Appends lines to events.jsonl, or to another file of lines, each in one write."""

    def __init__(self, folder: Path, run: str | None, name: str = EVENTS) -> None:
        self._path = folder / name
        self._run = run
        # Whether the last line may lack its end, after a kill or on a full disk. The next write adds the end first.
        self._torn = self._path.exists()

    def write(self, events: list[dict[str, Any]]) -> None:
        """Appends the events.

        Raises:
            SinkError: The file system refuses.
        """
        data = b"".join(line_of(event, self._run) for event in events)
        try:
            self._append(data)
        except PartialWriteError as error:
            # A line that lacks only its end counts as written: the next write adds the end.
            raise SinkError(error, data[: error.done + 1].count(b"\n")) from error
        except OSError as error:
            raise SinkError(error, 0) from error

    def _append(self, data: bytes) -> None:
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            if self._torn:
                os.write(handle, b"\n")
            self._torn = True
            write_all(handle, memoryview(data))
            self._torn = False
        finally:
            os.close(handle)


def write_all(handle: int, data: memoryview) -> None:
    """Writes all of ``data``.

    Raises:
        PartialWriteError: The file system refuses; a part may be written.
    """
    done = 0
    try:
        while done < len(data):
            done += os.write(handle, data[done:])
    except OSError as error:
        raise PartialWriteError(error, done) from error
