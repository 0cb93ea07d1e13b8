"""The cursor of a mirror: how far a run has been mirrored to one place. It is kept in the run's folder."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from gradlens.mirror.errors import MirrorError
from gradlens.runlog.format.description import replace_file

FORMAT = "gradlens-mirror"


@dataclass(frozen=True)
class Cursor:
    """How far a run was mirrored.

    Attributes:
        step: The last mirrored measured step; -1: none.
        time: Its time, in Unix seconds.
        starts: Number of each start of the training, as text -> its first step, as they were then.
        events: Number of events that were looked at.
        logged: Name -> number of its values that were mirrored.
        pending: First step of what was being written when the cursor was kept; None if nothing was.
    """

    step: int = -1
    time: float = 0.0
    starts: dict[str, int] = field(default_factory=dict)
    events: int = 0
    logged: dict[str, int] = field(default_factory=dict)
    pending: int | None = None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a cursor. If there is no file, nothing was mirrored.

        Raises:
            MirrorError: The file is no cursor.
        """
        try:
            found: Any = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError) as error:
            raise MirrorError(_damaged(path, error)) from error
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise MirrorError(_damaged(path, "it was not written by gradlens"))
        known = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in found.items() if name in known})

    def write(self, path: Path, place: str) -> None:
        """Writes the cursor, whole or not at all.

        Raises:
            MirrorError: The run's folder cannot be written.
        """
        text = json.dumps({"format": FORMAT, "place": place, **asdict(self)}, indent=1)
        try:
            replace_file(path, text.encode() + b"\n")
        except OSError as error:
            raise MirrorError(
                f"cannot keep how far the run was mirrored, in {path}: {error.strerror}; make the folder writable"
            ) from error


def cursor_path(run: Path, to: str, place: str) -> Path:
    """Returns the file of the cursor for one place of a tracker."""
    return run / f"mirror-{to}-{zlib.crc32(place.encode()):08x}.json"


def _damaged(path: Path, why: object) -> str:
    return f"{path} is damaged ({why}); remove it to mirror the run anew"
