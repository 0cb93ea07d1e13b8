"""One measurements-NNN.arrows, read through a memory map, again and again as it grows.

A stream is a row of messages: marker, length, metadata, body. Batches of the same size have identical metadata, so Arrow parses
each kind once and the rest is recognised by its bytes; batches of one kind that follow each other form one regular block of
the file, from which a column is read with a single strided copy.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gradlens.runlog.errors import RunError
from gradlens.runlog.schema import Layout

MARKER = b"\xff\xff\xff\xff"
PREFIX = struct.Struct("<4si")
# Arrow pads metadata to 8 bytes, and ours is about 1.5 kB; the schema's holds the run's description. More is damage.
LARGEST_METADATA = 64 << 20
KINDS_KEPT = 4096
MOST_MAPPED = 64 << 20


@dataclass(frozen=True)
class _Kind:
    """A batch's inner layout: ``starts`` are positions of the columns' values relative to the message's start."""

    rows: int
    size: int
    starts: dict[str, int]


@dataclass
class _Block:
    """``count`` messages of one kind in a row, the first of them at ``start`` and holding the segment's row ``first``."""

    kind: _Kind
    start: int
    count: int
    first: int

    @property
    def stop(self) -> int:
        return self.first + self.count * self.kind.rows


class Segment:
    """The rows of one segment.

    Attributes:
        path: The file.
        layout: What its rows hold; None until its schema is written.
        description: The copy of run.json in the schema.
        rows: Number of readable rows.
        first_step: Step of the first row, or None.
        problems: What could not be read and why, one text each.
        generation: How often the file was read anew from its beginning.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.layout: Layout | None = None
        self.description: dict[str, Any] = {}
        self.rows = 0
        self.first_step: int | None = None
        self.problems: list[str] = []
        self._schema: pa.Schema | None = None
        self._blocks: list[_Block] = []
        self._kinds: dict[bytes, _Kind] = {}
        self._map: mmap.mmap | None = None
        self._arrow: pa.Buffer | None = None
        self._seen = self._end = 0
        self._last_step: int | None = None
        self._broken = False
        self._touched = 0
        self.generation = 0

    def refresh(self) -> int:
        """Looks for complete batches behind the known ones; returns how many rows were added (below 0: some are gone).

        Raises:
            RunTooNew: A later schema version.
        """
        before = self.rows
        try:
            with open(self.path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < self._seen:
                    self._forget(f"{self.path.name} was cut from {self._seen} to {size} bytes by another program")
                if self._broken or size <= self._seen:
                    return self.rows - before
                self._map = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        except OSError:
            return 0  # vanished or unreadable for now; what is mapped already stays readable
        self._arrow, self._seen = pa.py_buffer(self._map), size
        if self._schema is None and not self._read_schema():
            return self.rows - before
        while self._step_over():
            pass
        self._release(size)
        return self.rows - before

    def _forget(self, problem: str) -> None:
        """Starts over with a file that has shrunk, which nothing of gradlens does; touching its mapped end would be fatal."""
        problems, generation = [*self.problems, problem], self.generation + 1
        self.__init__(self.path)  # type: ignore[misc]
        self.problems, self.generation = problems, generation

    def _release(self, touched: int) -> None:
        """Lets go of mapped pages from time to time: they stay cached, but do not count as this process's memory."""
        self._touched += touched
        if self._touched > MOST_MAPPED and self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)
            self._touched = 0

    def read(self, column: str, start: int, stop: int, layer: int | None = None) -> NDArray[Any]:
        """Returns rows ``start`` to ``stop`` of a column as a copy, [n, ...]; ``layer`` picks one of [n, L, P]."""
        assert self.layout is not None
        dtype, shape = self.layout.widths[column]
        out = np.empty((stop - start, *(shape if layer is None else shape[1:])), dtype=dtype)
        for block in self._blocks:
            low, high = max(start, block.first), min(stop, block.stop)
            if low >= high:
                continue
            n = block.kind.rows
            first, last = (low - block.first) // n, -(-(high - block.first) // n)
            view = self._view(block, column, layer)[first:last]
            skip = low - block.first - first * n
            out[low - start : high - start] = view.reshape(-1, *out.shape[1:])[skip : skip + high - low]
            self._release((last - first) * block.kind.size)
        return out

    def take(self, column: str, rows: NDArray[np.intp], layer: int | None = None) -> NDArray[Any]:
        """Returns the given rows (ascending) of a column as a copy, [n, ...]."""
        assert self.layout is not None
        dtype, shape = self.layout.widths[column]
        out = np.empty((len(rows), *(shape if layer is None else shape[1:])), dtype=dtype)
        for block in self._blocks:
            low, high = np.searchsorted(rows, (block.first, block.stop))
            if low < high:
                inside = rows[low:high] - block.first
                out[low:high] = self._view(block, column, layer)[inside // block.kind.rows, inside % block.kind.rows]
        return out

    def rows_before(self, step: int) -> int:
        """Returns how many rows have a smaller step."""
        return int(np.searchsorted(self.read("step", 0, self.rows), step))

    def _view(self, block: _Block, column: str, layer: int | None) -> NDArray[Any]:
        assert self.layout is not None
        assert self._map is not None
        dtype, shape = self.layout.widths[column]
        inner = [np.dtype(dtype).itemsize]
        for length in reversed(shape):
            inner.insert(0, inner[0] * length)
        view: NDArray[Any] = np.ndarray(
            (block.count, block.kind.rows, *shape),
            dtype=dtype,
            buffer=self._map,
            offset=block.start + block.kind.starts[column],
            strides=(block.kind.size, *inner),
        )
        return view if layer is None else view[:, :, layer]

    def _read_schema(self) -> bool:
        assert self._map is not None
        marker, length = self._prefix(0)
        if marker == b"" or (marker == MARKER and 0 < length <= LARGEST_METADATA and 8 + length > self._seen):
            return False  # not yet complete
        try:
            message = pa.ipc.read_message(self._arrow)
            self._schema = pa.ipc.read_schema(message)
        except (pa.ArrowException, OSError, ValueError) as error:
            self._broken = True
            self.problems.append(f"{self.path.name} cannot be read, its beginning is damaged ({_first_line(error)})")
            return False
        try:
            self.layout, self.description = Layout.from_schema(self._schema, self.path)
        except RunError:
            self._broken = True
            raise
        except (KeyError, TypeError, ValueError) as error:
            self._broken = True
            self.problems.append(f"{self.path.name} cannot be read, its description is damaged ({error!r})")
            return False
        self._end = 8 + length
        return True

    def _prefix(self, at: int) -> tuple[bytes, int]:
        assert self._map is not None
        if at + PREFIX.size > self._seen:
            return b"", 0
        marker, length = PREFIX.unpack_from(self._map, at)
        return marker, length

    def _step_over(self) -> bool:
        """Indexes the message at the end of what is known; False if there is no complete one."""
        marker, length = self._prefix(self._end)
        if marker == b"" or (marker == MARKER and length == 0):
            return False
        kind = self._kind(self._end)
        if kind is None:
            return self._skip_damage()
        if not self._add(kind):
            self.problems.append(f"{self.path.name}: {kind.rows} rows at byte {self._end} are damaged and left out")
        self._end += kind.size
        return True

    def _kind(self, at: int) -> _Kind | None:
        """Returns the layout of the batch whose message starts at ``at``, None where there is no complete batch."""
        assert self._map is not None
        assert self._arrow is not None
        marker, length = self._prefix(at)
        if marker != MARKER or not 0 < length <= LARGEST_METADATA or at + 8 + length > self._seen:
            return None
        metadata = self._map[at + 8 : at + 8 + length]
        kind = self._kinds.get(metadata)
        if kind is None:
            try:
                kind = self._parse(at, 8 + length)
            except (pa.ArrowException, OSError, ValueError):
                return None
            if kind is not None:
                if len(self._kinds) >= KINDS_KEPT:
                    self._kinds.clear()
                self._kinds[metadata] = kind
        return kind if kind is not None and at + kind.size <= self._seen else None

    def _parse(self, at: int, head: int) -> _Kind | None:
        assert self._arrow is not None
        assert self.layout is not None
        source = pa.BufferReader(self._arrow.slice(at))
        message = pa.ipc.read_message(source)
        if message.type != "record batch":
            return None
        batch = pa.ipc.read_record_batch(message, self._schema)
        batch.validate(full=True)
        size, base = source.tell(), self._arrow.address + at
        starts = {}
        for column, (dtype, shape) in self.layout.widths.items():
            values = batch.column(column).buffers()[-1]
            start = values.address - base
            needed = batch.num_rows * np.dtype(dtype).itemsize * int(np.prod(shape))
            if not head <= start <= size - needed:
                return None
            starts[column] = start
        return _Kind(batch.num_rows, size, starts)

    def _add(self, kind: _Kind) -> bool:
        """Indexes the complete batch at ``_end``; False if its steps do not grow, as they always do in what was written."""
        if kind.rows == 0:
            return True
        assert self._map is not None
        steps = np.frombuffer(self._map, "<i8", kind.rows, self._end + kind.starts["step"])
        first, last = int(steps[0]), int(steps[-1])
        if (self._last_step is not None and first <= self._last_step) or not (steps[1:] > steps[:-1]).all():
            return False
        if self.first_step is None:
            self.first_step = first
        self._last_step = last
        block = self._blocks[-1] if self._blocks else None
        if block is not None and block.kind is kind and block.start + block.count * kind.size == self._end:
            block.count += 1
        else:
            self._blocks.append(_Block(kind, self._end, 1, self.rows))
        self.rows += kind.rows
        return True

    def _skip_damage(self) -> bool:
        """Moves to the next readable batch, if any; a tail without one is a write that did not finish (yet)."""
        assert self._map is not None
        at = self._end
        while (at := self._map.find(MARKER, at + 1)) >= 0:
            if at % 8 == 0 and self._kind(at) is not None:
                self.problems.append(
                    f"{self.path.name}: {at - self._end} bytes from byte {self._end} on are damaged and left out"
                )
                self._end = at
                return True
        return False


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
