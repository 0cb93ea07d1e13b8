"""The messages of an Arrow IPC stream, found without parsing each one.

A message is marker, length, metadata, body. Batches of the same size have identical metadata but for their proofs, so Arrow
parses each kind once and the rest is recognised by its bytes.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gradlens.runlog import proof
from gradlens.runlog.mapped import MappedFile
from gradlens.runlog.proof import BATCH_BYTES, ROW, SAID_BYTES, BatchProof
from gradlens.runlog.schema import Layout

MARKER = b"\xff\xff\xff\xff"
PREFIX = struct.Struct("<4si")
# Arrow pads metadata to 8 bytes, and ours is about 1.5 kB; the schema's holds the run's description. More is damage.
LARGEST_METADATA = 64 << 20
KINDS_KEPT = 4096
# Bytes in which a next batch is looked for behind a damage; a file that a mistake has made huge takes no minutes.
MOST_SKIPPED = 256 << 20


@dataclass(frozen=True)
class Kind:
    """A batch's inner layout.

    Attributes:
        rows: Number of rows.
        size: Bytes of the message.
        starts: Column -> position of its values, relative to the message's start.
        head: Bytes of the message before its body.
        layers: Where the values of the layers stand, relative to the message's start; empty where there are none.
        begun: Checksum of the part that all batches of this kind have in common.
    """

    rows: int
    size: int
    starts: dict[str, int]
    head: int
    layers: tuple[int, int]
    begun: int


class Messages:
    """Recognises the messages in a mapped file.

    Attributes:
        file: The file.
        schema: The stream's schema, once it is read.
        seed: Checksum of what the segment says about its rows, with which those of its batches begin.
        proven: Whether every batch must carry a proof.
    """

    def __init__(self, file: MappedFile) -> None:
        self.file = file
        self.schema: pa.Schema | None = None
        self.seed = 0
        self.proven = False
        self._kinds: dict[bytes, Kind] = {}

    @property
    def size(self) -> int:
        """Bytes that are known."""
        return self.file.size

    def head(self, at: int) -> tuple[bytes, int]:
        """Returns marker and metadata length at byte ``at``; marker b"" where the file ends before."""
        if at + PREFIX.size > self.size:
            return b"", 0
        marker, length = PREFIX.unpack_from(self.file.content(), at)
        return marker, length

    def read_schema(self) -> tuple[int, bool | None] | None:
        """Reads the schema at the file's beginning.

        Returns:
            Where it ends, and whether it is what was written (None: it holds no checksum); None while it is not complete.

        Raises:
            ValueError: It is damaged.
        """
        marker, length = self.head(0)
        if marker == b"" or (marker == MARKER and 0 < length <= LARGEST_METADATA and 8 + length > self.size):
            return None
        try:
            self.schema = pa.ipc.read_schema(pa.ipc.read_message(pa.py_buffer(self.file.content())))
        except (pa.ArrowException, OSError, EOFError) as error:
            raise ValueError((str(error) or type(error).__name__).splitlines()[0]) from error
        return 8 + length, proof.intact(self.file.content()[: 8 + length])

    def ends(self, at: int) -> bool:
        """Whether the file ends at byte ``at``, or does so after the mark of the stream's end."""
        marker, length = self.head(at)
        return at == self.size or (marker == MARKER and length == 0 and at + PREFIX.size == self.size)

    def batch(self, at: int, layout: Layout) -> tuple[Kind, BatchProof | None] | None:
        """Returns kind and proof of the batch whose message starts at byte ``at``, None where there is no complete, sound one."""
        content, size = self.file.content(), self.file.size
        if at + PREFIX.size > size:
            return None
        marker, length = PREFIX.unpack_from(content, at)
        if marker != MARKER or not 0 < length <= LARGEST_METADATA or at + 8 + length > size:
            return None
        metadata = content[at + 8 : at + 8 + length]
        found = proof.batch_proof(metadata)
        if found is None and self.proven:
            return None
        kind = self._kind(at, metadata, found, layout)
        if kind is None or at + kind.size > size:
            return None
        if found is not None:
            low, high = kind.layers
            with memoryview(content) as view:
                before, after = view[at + kind.head : at + low], view[at + high : at + kind.size]
                check = proof.batch_check(kind.begun, found.text[:SAID_BYTES], before, after)
            if b"%08x" % check != found.text[-8:]:
                return None
        return kind, found

    def following(self, at: int, kind: Kind, before: BatchProof, most: int) -> list[bytes]:
        """Returns the proofs of the sound batches that continue another one, as nearly all do; others need a closer look.

        Args:
            at: Where the other one ends.
            kind: Its kind, which these have too.
            before: Its proof; the numbers of these batches' first rows go on from there.
            most: How many at most.
        """
        content, size, begun, row = self.file.content(), kind.size, kind.begun, before.row
        start, head, (low, high) = 8 + before.at, kind.head, kind.layers
        behind = start + BATCH_BYTES
        same = content[at - size : at - size + start], content[at - size + behind : at - size + head]
        found: list[bytes] = []
        with memoryview(content) as view:
            for here in range(at, at + min(most, (self.file.size - at) // size) * size, size):
                row += kind.rows
                text = content[here + start : here + behind]
                if (content[here : here + start], content[here + behind : here + head]) != same:
                    break
                if text[: len(ROW) + 16] != b"%b%016x" % (ROW, row):
                    break
                said = text[:SAID_BYTES]
                check = proof.batch_check(begun, said, view[here + head : here + low], view[here + high : here + size])
                if b"%08x" % check != text[-8:]:
                    break
                found.append(text)
        return found

    def _kind(self, at: int, metadata: bytes, found: BatchProof | None, layout: Layout) -> Kind | None:
        key = metadata if found is None else metadata[: found.at] + metadata[found.at + BATCH_BYTES :]
        kind = self._kinds.get(key)
        if kind is None:
            begun = proof.head_check(self.file.content()[at : at + 8], key, self.seed)
            try:
                kind = self._parse(at, 8 + len(metadata), layout, begun)
            except (pa.ArrowException, OSError, EOFError, ValueError, OverflowError):
                return None
            if kind is not None:
                if len(self._kinds) >= KINDS_KEPT:
                    self._kinds.clear()
                self._kinds[key] = kind
        return kind

    def layers_sound(self, at: int, kind: Kind) -> bool:
        """Whether the layers of the batch at byte ``at`` are what was written; true where nothing proves it."""
        content = self.file.content()
        found = proof.batch_proof(content[at + 8 : at + kind.head])
        low, high = kind.layers
        with memoryview(content) as view:
            return (
                found is None
                or low == high
                or (
                    b"%08x" % zlib.crc32(view[at + low : at + high], self.seed)
                    == found.text[SAID_BYTES - 8 : SAID_BYTES]
                )
            )

    def next_batch(self, after: int, layout: Layout) -> int | None:
        """Returns where the next complete, sound batch behind byte ``after`` starts, None where there is none."""
        at = after
        content = self.file.content()
        while (at := content.find(MARKER, at + 1, after + MOST_SKIPPED)) >= 0:
            if at % 8 == 0 and self.batch(at, layout) is not None:
                return at
        return None

    def _parse(self, at: int, head: int, layout: Layout, begun: int) -> Kind | None:
        arrow = pa.py_buffer(self.file.content())
        source = pa.BufferReader(arrow.slice(at))
        message = pa.ipc.read_message(source)
        if message.type != "record batch":
            return None
        batch = pa.ipc.read_record_batch(message, self.schema)
        batch.validate(full=True)
        size, base = source.tell(), arrow.address + at
        starts, layers = {}, (size, size)
        for column, (dtype, shape) in layout.widths.items():
            values = batch.column(column).buffers()[-1]
            starts[column] = start = 0 if values is None else values.address - base
            needed = batch.num_rows * np.dtype(dtype).itemsize * math.prod(shape)
            if needed and not head <= start <= size - needed:
                return None
            if column == "layers" and needed:
                layers = (start, start + needed)
        return Kind(batch.num_rows, size, starts, head, layers, begun)
