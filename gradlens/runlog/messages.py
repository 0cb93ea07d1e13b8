"""The messages of an Arrow IPC stream, found without parsing each one.

A message is marker, length, metadata, body. Batches of the same size have identical metadata, so Arrow parses each kind once and
the rest is recognised by its bytes.
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gradlens.runlog.schema import Layout

MARKER = b"\xff\xff\xff\xff"
PREFIX = struct.Struct("<4si")
# Arrow pads metadata to 8 bytes, and ours is about 1.5 kB; the schema's holds the run's description. More is damage.
LARGEST_METADATA = 64 << 20
KINDS_KEPT = 4096


@dataclass(frozen=True)
class Kind:
    """A batch's inner layout.

    Attributes:
        rows: Number of rows.
        size: Bytes of the message.
        starts: Column -> position of its values, relative to the message's start.
    """

    rows: int
    size: int
    starts: dict[str, int]


class Messages:
    """Recognises the messages in a mapped file of ``size`` bytes."""

    def __init__(self) -> None:
        self.map: mmap.mmap | None = None
        self.size = 0
        self.schema: pa.Schema | None = None
        self._arrow: pa.Buffer | None = None
        self._kinds: dict[bytes, Kind] = {}

    def show(self, mapped: mmap.mmap, size: int) -> None:
        """Continues with a longer map of the same file."""
        self.map, self.size, self._arrow = mapped, size, pa.py_buffer(mapped)

    def head(self, at: int) -> tuple[bytes, int]:
        """Returns marker and metadata length at byte ``at``; marker b"" where the file ends before."""
        if self.map is None or at + PREFIX.size > self.size:
            return b"", 0
        marker, length = PREFIX.unpack_from(self.map, at)
        return marker, length

    def read_schema(self) -> int | None:
        """Reads the schema at the file's beginning; returns where it ends, None while it is not complete.

        Raises:
            ValueError: It is damaged.
        """
        marker, length = self.head(0)
        if marker == b"" or (marker == MARKER and 0 < length <= LARGEST_METADATA and 8 + length > self.size):
            return None
        try:
            self.schema = pa.ipc.read_schema(pa.ipc.read_message(self._arrow))
        except (pa.ArrowException, OSError) as error:
            raise ValueError((str(error) or type(error).__name__).splitlines()[0]) from error
        return 8 + length

    def ends(self, at: int) -> bool:
        """Whether the file, or the stream in it, ends at byte ``at``."""
        marker, length = self.head(at)
        return marker == b"" or (marker == MARKER and length == 0)

    def batch(self, at: int, layout: Layout) -> Kind | None:
        """Returns the kind of the batch whose message starts at byte ``at``, None where there is no complete one."""
        marker, length = self.head(at)
        if self.map is None or marker != MARKER or not 0 < length <= LARGEST_METADATA or at + 8 + length > self.size:
            return None
        metadata = self.map[at + 8 : at + 8 + length]
        kind = self._kinds.get(metadata)
        if kind is None:
            try:
                kind = self._parse(at, 8 + length, layout)
            except (pa.ArrowException, OSError, ValueError):
                return None
            if kind is None:
                return None
            if len(self._kinds) >= KINDS_KEPT:
                self._kinds.clear()
            self._kinds[metadata] = kind
        return kind if at + kind.size <= self.size else None

    def next_batch(self, after: int, layout: Layout) -> int | None:
        """Returns where the next complete batch behind byte ``after`` starts, None where there is none."""
        at = after
        while self.map is not None and (at := self.map.find(MARKER, at + 1)) >= 0:
            if at % 8 == 0 and self.batch(at, layout) is not None:
                return at
        return None

    def _parse(self, at: int, head: int, layout: Layout) -> Kind | None:
        assert self._arrow is not None
        source = pa.BufferReader(self._arrow.slice(at))
        message = pa.ipc.read_message(source)
        if message.type != "record batch":
            return None
        batch = pa.ipc.read_record_batch(message, self.schema)
        batch.validate(full=True)
        size, base = source.tell(), self._arrow.address + at
        starts = {}
        for column, (dtype, shape) in layout.widths.items():
            values = batch.column(column).buffers()[-1]
            starts[column] = start = 0 if values is None else values.address - base
            needed = batch.num_rows * np.dtype(dtype).itemsize * math.prod(shape)
            if needed and not head <= start <= size - needed:
                return None
        return Kind(batch.num_rows, size, starts)
