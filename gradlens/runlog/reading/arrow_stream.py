"""Finds the messages of an Arrow IPC stream, without parsing each one.

A message has a marker, a length, metadata and a body. Batches of the same size have the same metadata, except for their proofs.
So Arrow parses each kind of batch once, and the others are recognised by their bytes.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gradlens.runlog.format import proof
from gradlens.runlog.format.proof import BATCH_BYTES, SAID_BYTES, BatchProof
from gradlens.runlog.format.schema import RowLayout
from gradlens.runlog.format.text_proof import intact
from gradlens.runlog.reading.growing import GrowingFile

MARKER = b"\xff\xff\xff\xff"
PREFIX = struct.Struct("<4si")
# gradlens' metadata has about 1.5 kB; that of the schema holds the run's description. If it seems larger, the file is damaged.
LARGEST_METADATA = 64 << 20
# If a file does not begin as gradlens' files do, this many bytes are looked at.
BEGINNING = 4096
KINDS_KEPT = 4096
# After a damaged part, the next batch is searched in this many bytes. So a file that is huge by mistake takes no minutes.
MOST_SKIPPED = 256 << 20
SEARCHED_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class BatchLayout:
    """The inner layout of batches of one kind.

    Attributes:
        rows: Number of rows.
        size: Bytes of the message.
        starts: Column -> position of its values, in bytes from the message's start.
        head: Bytes of the message before its body.
        layers: First byte of the layers' values and the byte after the last, from the message's start; equal without layers.
        begun: Checksum of the part that is the same in all batches of this kind.
    """

    rows: int
    size: int
    starts: dict[str, int]
    head: int
    layers: tuple[int, int]
    begun: int


class Messages:
    """Recognises the messages in a file.

    Attributes:
        file: The file.
        schema: The stream's schema; None until it is read.
        seed: Checksum of the segment's description of its rows. The checksums of its batches start from it.
        proven: Whether every batch must have a proof.
    """

    def __init__(self, file: GrowingFile) -> None:
        self.file = file
        self.schema: pa.Schema | None = None
        self.seed = 0
        self.proven = False
        self._kinds: dict[bytes, BatchLayout] = {}

    @property
    def size(self) -> int:
        """The file's size in bytes at the last look."""
        return self.file.size

    def head(self, at: int) -> tuple[bytes, int]:
        """Returns the marker and the length of the metadata at byte ``at``; (b"", 0) if the file ends before."""
        if at + PREFIX.size > self.size:
            return b"", 0
        marker, length = PREFIX.unpack(self.file.read(at, PREFIX.size))
        return marker, length

    def read_schema(self) -> tuple[int, bool | None] | None:
        """Reads the schema at the file's beginning.

        Returns:
            The byte after it, and whether it is as it was written (None: it has no checksum). None if it is not complete yet.

        Raises:
            ValueError: The schema is damaged.
        """
        marker, length = self.head(0)
        usual = marker == MARKER and 0 < length <= LARGEST_METADATA
        if marker == b"" or (usual and 8 + length > self.size):
            return None
        beginning = self.file.read(0, 8 + length if usual else min(self.size, BEGINNING))
        try:
            self.schema = pa.ipc.read_schema(pa.ipc.read_message(pa.py_buffer(beginning)))
        except (pa.ArrowException, OSError, EOFError) as error:
            raise ValueError((str(error) or type(error).__name__).splitlines()[0]) from error
        return len(beginning), intact(beginning)

    def ends(self, at: int) -> bool:
        """Says whether the file ends at byte ``at``, or after Arrow's mark of the end there."""
        marker, length = self.head(at)
        return at == self.size or (marker == MARKER and length == 0 and at + PREFIX.size == self.size)

    def batch(self, at: int, layout: RowLayout) -> tuple[BatchLayout, BatchProof | None] | None:
        """Returns the kind and the proof of the batch whose message starts at byte ``at``.

        The proof is None in files without proofs. Returns None if there is no complete batch, or if it is damaged.
        """
        size = self.file.size
        marker, length = self.head(at)
        if marker != MARKER or not 0 < length <= LARGEST_METADATA or at + 8 + length > size:
            return None
        metadata = self.file.read(at + 8, length)
        found = proof.batch_proof(metadata)
        if found is None and self.proven:
            return None
        kind = self._kind(at, metadata, found, layout)
        if kind is None or at + kind.size > size:
            return None
        if found is not None:
            low, high = kind.layers
            before, after = self.file.read(at + kind.head, low - kind.head), self.file.read(at + high, kind.size - high)
            if b"%08x" % proof.batch_check(kind.begun, found.text[:SAID_BYTES], before, after) != found.text[-8:]:
                return None
        return kind, found

    def following(self, at: int, kind: BatchLayout, before: BatchProof) -> list[bytes]:
        """Returns the proofs of the undamaged batches of the same kind that follow a batch directly.

        Nearly all batches are found so, and quickly. The search ends at the first that is different; ``batch`` looks at it.

        Args:
            at: The byte after the batch.
            kind: Its kind.
            before: Its proof. The row numbers of the batches must continue from it.
        """
        size, head, (low, high), row = kind.size, kind.head, kind.layers, before.row
        start, stop, rest = 8 + before.at, 8 + before.at + BATCH_BYTES, kind.size - high
        last = at + (self.size - at) // size * size

        def behind_layers(of: int) -> bytes:
            """Returns the bytes between the layers of one message and those of the next, with one read."""
            return self.file.read(of + high, rest + (low if of + size < last else 0))

        one, here = self.file.read(at - size, head), behind_layers(at - size)
        same = one[:start], one[stop:]
        found: list[bytes] = []
        for message in range(at, last, size):
            row += kind.rows
            text, body = here[rest + start : rest + stop], memoryview(here)[rest + head :]
            if (here[rest : rest + start], here[rest + stop : rest + head]) != same:
                break
            if not text.startswith(b"%b%016x" % (proof.ROW, row)):
                break
            here = behind_layers(message)
            if b"%08x" % proof.batch_check(kind.begun, text[:SAID_BYTES], body, memoryview(here)[:rest]) != text[-8:]:
                break
            found.append(text)
        return found

    def _kind(self, at: int, metadata: bytes, found: BatchProof | None, layout: RowLayout) -> BatchLayout | None:
        key = metadata if found is None else metadata[: found.at] + metadata[found.at + BATCH_BYTES :]
        kind = self._kinds.get(key)
        if kind is None:
            begun = proof.head_check(self.file.read(at, 8), key, self.seed)
            try:
                kind = self._parse(at, 8 + len(metadata), layout, begun)
            except (pa.ArrowException, OSError, EOFError, ValueError, OverflowError):
                return None
            if kind is not None:
                if len(self._kinds) >= KINDS_KEPT:
                    self._kinds.clear()
                self._kinds[key] = kind
        return kind

    def layers(self, at: int, kind: BatchLayout) -> bytes | None:
        """Returns the bytes of the layers' values of the batch at byte ``at``; None if they are damaged."""
        found = proof.batch_proof(self.file.read(at + 8, kind.head - 8))
        low, high = kind.layers
        values = self.file.read(at + low, high - low)
        if found is None or low == high:
            return values
        check = b"%08x" % zlib.crc32(values, self.seed)
        return values if check == found.text[SAID_BYTES - 8 : SAID_BYTES] else None

    def next_batch(self, after: int, layout: RowLayout) -> int | None:
        """Returns the first byte of the next complete, undamaged batch after byte ``after``; None if there is none."""
        stop = min(self.size, after + MOST_SKIPPED)
        for start in range(after + 1, stop, SEARCHED_AT_ONCE):
            # A marker may begin in this part and end in the next one.
            part = self.file.read(start, min(SEARCHED_AT_ONCE + len(MARKER) - 1, stop - start))
            found = -1
            while (found := part.find(MARKER, found + 1)) >= 0:
                if (start + found) % 8 == 0 and self.batch(start + found, layout) is not None:
                    return start + found
        return None

    def _parse(self, at: int, head: int, layout: RowLayout, begun: int) -> BatchLayout | None:
        message = pa.ipc.read_message(pa.PythonFile(_Part(self.file, at), mode="r"))
        if message.type != "record batch":
            return None
        batch = pa.ipc.read_record_batch(message, self.schema)
        batch.validate(full=True)
        size, base = head + message.body.size, message.body.address - head
        starts, layers = {}, (size, size)
        for column, (dtype, shape) in layout.widths.items():
            values = batch.column(column).buffers()[-1]
            starts[column] = start = 0 if values is None else values.address - base
            needed = batch.num_rows * np.dtype(dtype).itemsize * math.prod(shape)
            if needed and not head <= start <= size - needed:
                return None
            if column == "layers" and needed:
                layers = (start, start + needed)
        return BatchLayout(batch.num_rows, size, starts, head, layers, begun)


class _Part(io.RawIOBase):
    """A file from one byte on, as a file object that Arrow can read."""

    def __init__(self, file: GrowingFile, start: int) -> None:
        self._file, self._at = file, start

    def readable(self) -> bool:
        return True

    def read(self, count: int = -1) -> bytes:
        rest = max(self._file.size - self._at, 0)
        found = self._file.read(self._at, rest if count < 0 else min(count, rest))
        self._at += len(found)
        return found
