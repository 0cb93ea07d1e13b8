"""Proofs: checksums (CRC-32) that show whether a batch of rows is as it was written.

Each batch has a proof in the custom metadata of its message: the number of its first row, the checksum of its layers, and the
checksum of everything else in the message. Both checksums start from that of the segment's description of its rows (run, place,
vectors, groups). So a batch of another segment is found out.
"""

from __future__ import annotations

import re
import zlib
from typing import NamedTuple

import pyarrow as pa

# Key of the batch's custom metadata.
BATCH_KEY = b"gradlens"
ROW = b"row="
BATCH_PATTERN = re.compile(rb"row=([0-9a-f]{16}) layers=([0-9a-f]{8}) check=([0-9a-f]{8})")
BATCH_BYTES = len(b"row=0123456789abcdef layers=01234567 check=01234567")
# The first part of the proof, which ``check`` covers.
SAID_BYTES = len(b"row=0123456789abcdef layers=01234567")


class BatchProof(NamedTuple):
    """The proof of a batch.

    Attributes:
        row: Number of the batch's first row in the segment.
        text: The whole proof.
        at: Its position in the message's metadata, in bytes.
    """

    row: int
    text: bytes
    at: int


def batch_proof(metadata: bytes) -> BatchProof | None:
    """Returns the proof in a message's metadata, or None."""
    at = metadata.find(ROW)
    found = BATCH_PATTERN.match(metadata, at) if at >= 0 else None
    return None if found is None else BatchProof(int(found[1], 16), found[0], at)


def head_check(prefix: bytes, metadata: bytes, seed: int) -> int:
    """Returns the checksum of a message's prefix and its metadata without the proof. ``batch_check`` starts from it."""
    return zlib.crc32(metadata, zlib.crc32(prefix, seed))


def batch_check(head: int, said: bytes, before: bytes | memoryview, after: bytes | memoryview) -> int:
    """Returns the checksum of a batch: of the first part of its proof, and of its body before and after the layers."""
    return zlib.crc32(after, zlib.crc32(before, zlib.crc32(said, head)))


def proven_batch(batch: pa.RecordBatch, schema: pa.Schema, row: int, seed: int) -> tuple[bytearray, bytes]:
    """Returns the encapsulated message of a batch, with its proof, and the proof's text.

    Args:
        batch: The rows.
        schema: Their schema.
        row: Number of the first row in the segment.
        seed: Checksum of the segment's description of its rows.
    """
    bare = schema.remove_metadata()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, bare) as writer:
        blank = b"row=%016x layers=%08x check=%08x" % (row, 0, 0)
        writer.write_batch(batch.replace_schema_metadata(None), custom_metadata={BATCH_KEY: blank})
    stream = sink.getvalue()
    start = len(bare.serialize())
    message = bytearray(memoryview(stream)[start : len(stream) - 8])  # without the schema and the end of the stream
    head = 8 + int.from_bytes(message[4:8], "little")
    metadata = bytes(message[8:head])
    at = metadata.index(blank)
    inner = layers_part(batch, message, head)
    with memoryview(message) as view:
        layers = zlib.crc32(view[slice(*inner)], seed) if inner else 0
        said = b"row=%016x layers=%08x" % (row, layers)
        begun = head_check(bytes(message[:8]), metadata[:at] + metadata[at + BATCH_BYTES :], seed)
        low, high = inner or (len(message), len(message))
        check = batch_check(begun, said, view[head:low], view[high:])
    text = said + b" check=%08x" % check
    message[8 + at : 8 + at + BATCH_BYTES] = text
    return message, text


def layers_part(batch: pa.RecordBatch, message: bytearray, head: int) -> tuple[int, int] | None:
    """Returns the first byte of the layers' values in a message, and the byte after the last; None without layers."""
    if batch.schema.get_field_index("layers") < 0:
        return None
    read = pa.ipc.read_record_batch(pa.ipc.read_message(pa.py_buffer(message)), batch.schema)
    column = read.column("layers")
    values = column.buffers()[-1]
    start = values.address - pa.py_buffer(message).address
    size = batch.num_rows * column.type.list_size * column.type.value_type.bit_width // 8
    assert start >= head
    return start, start + size
