"""Proofs that a text is what was written: a checksum (CRC-32) of its own bytes, counted with eight zeros in its place.

run.json, each line of events.jsonl, an Arrow schema and a probe hold one. Needs nothing but the standard library.
"""

from __future__ import annotations

import re
import zlib

TEXT_KEY = "gradlens_check"
TEXT_PATTERN = re.compile(rb'"gradlens_check": "([0-9a-f]{8})"')
TEXT_BLANK = b'"gradlens_check": "00000000"'
BLANK = "00000000"


def proven_text(data: bytes, seed: int = 0) -> bytes:
    """Returns a text that holds the key ``TEXT_KEY`` with its checksum, begun with ``seed``, filled in."""
    blank = TEXT_PATTERN.sub(TEXT_BLANK, data)
    return blank.replace(TEXT_BLANK, b'"gradlens_check": "%08x"' % zlib.crc32(blank, seed))


def intact(data: bytes, seed: int = 0) -> bool | None:
    """Says whether a text is what was written; None where it holds no checksum."""
    said = set(TEXT_PATTERN.findall(data))
    if not said:
        return None
    return said == {b"%08x" % zlib.crc32(TEXT_PATTERN.sub(TEXT_BLANK, data), seed)}


def run_seed(run: str | None) -> int:
    """Returns with what the checksums of a run's lines begin, so that those of another run do not pass."""
    return zlib.crc32((run or "").encode())
