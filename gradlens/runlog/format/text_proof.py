"""Checksums (CRC-32) inside texts: they show whether a text is as it was written.

run.json, each line of events.jsonl, an Arrow schema and a probe have one. It is computed with eight zeros in its own place. This
file needs only the standard library.
"""

from __future__ import annotations

import re
import zlib

TEXT_KEY = "gradlens_check"
TEXT_PATTERN = re.compile(rb'"gradlens_check": "([0-9a-f]{8})"')
TEXT_BLANK = b'"gradlens_check": "00000000"'
BLANK = "00000000"


def proven_text(data: bytes, seed: int = 0) -> bytes:
    """Returns the text with its checksum filled in, at the key ``TEXT_KEY``. The checksum starts from ``seed``."""
    blank = TEXT_PATTERN.sub(TEXT_BLANK, data)
    return blank.replace(TEXT_BLANK, b'"gradlens_check": "%08x"' % zlib.crc32(blank, seed))


def intact(data: bytes, seed: int = 0) -> bool | None:
    """Says whether a text is as it was written; None if it has no checksum."""
    said = set(TEXT_PATTERN.findall(data))
    if not said:
        return None
    return said == {b"%08x" % zlib.crc32(TEXT_PATTERN.sub(TEXT_BLANK, data), seed)}


def run_seed(run: str | None) -> int:
    """Returns the seed of the checksums of a run's lines. Lines of another run have other checksums by it."""
    return zlib.crc32((run or "").encode())
