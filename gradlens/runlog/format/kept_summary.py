"""gradlens-summary.json: what a list shows of a run, kept beside the run, so that the list need not read the run again.

The file only saves time. It names the stamp of the files that it was made from, and has a checksum. If anything about it does
not fit, it is as if it were not there. So it may be deleted at any time. This file needs only the standard library.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

from gradlens.runlog.format.run_stamp import Stamp
from gradlens.runlog.format.text_proof import BLANK, TEXT_KEY, intact, proven_text

FILE = "gradlens-summary.json"
FORMAT = "gradlens-summary"
# gradlens writes about 3 kB.
MOST_BYTES = 64 << 10


def read_summary(folder: Path, version: str, stamp: Stamp) -> dict[str, Any] | None:
    """Returns the kept facts about a run; None if there are none, or if they are not about these files.

    Args:
        folder: The run's folder.
        version: What made the facts. Those of another version are not returned.
        stamp: The stamp of the run's files as they are now.
    """
    try:
        text = _content(f"{os.fspath(folder)}/{FILE}")
        if not intact(text):
            return None
        kept = json.loads(text)
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(kept, dict) or (kept.get("format"), kept.get("version")) != (FORMAT, version):
        return None
    facts = kept.get("facts")
    fits = kept.get("files") == {name: list(facts) for name, facts in stamp.items()}
    return facts if fits and isinstance(facts, dict) else None


def write_summary(folder: Path, version: str, stamp: Stamp, facts: dict[str, Any]) -> None:
    """Keeps facts about a run. If the folder cannot be written, or a fact is no JSON, nothing is kept.

    Readers see the old file or the new one, never half of it. Two processes may write at a time: both write the same.

    Args:
        folder: The run's folder.
        version: What made the facts.
        stamp: The stamp of the run's files before they were read.
        facts: The facts, as JSON with finite numbers.
    """
    kept = {"format": FORMAT, "version": version, "files": stamp, "facts": facts, TEXT_KEY: BLANK}
    try:
        text = proven_text(json.dumps(kept, allow_nan=False).encode() + b"\n")
    except ValueError:
        return
    path = folder / FILE
    temporary = f"{path.parent}/.{FILE}.{os.getpid()}.{threading.get_ident()}"
    if len(text) > MOST_BYTES:
        return
    try:
        # Not waited for (fsync): the checksum tells if a power loss has left a part of it.
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    except OSError:
        return
    try:
        with open(handle, "wb") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def _content(path: str) -> bytes:
    """Returns the bytes of a regular file.

    Raises:
        OSError: It cannot be read, or it is none of gradlens.
    """
    # O_NONBLOCK: a pipe without a writer would keep a reader waiting for ever.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
            raise OSError(f"{path} is no summary")
        return os.read(handle, MOST_BYTES)
    finally:
        os.close(handle)
