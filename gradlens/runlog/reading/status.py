"""Finds out whether a run is still growing, over, or was killed."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gradlens.runlog.format import process
from gradlens.runlog.format.run_stamp import RUN_FILE

if TYPE_CHECKING:
    from gradlens.runlog.format.description import RunMeta

# A writer touches run.json every 10 s. If it has not for this long, its process is taken as dead if it cannot be seen.
SILENT_SECONDS = 120.0


@dataclass(frozen=True)
class RunStatus:
    """The state of a run.

    Attributes:
        state: "running", "finished", "failed", "interrupted" or "killed"; "unknown" if its run.json is lost or damaged.
        reason: Why, or None.
    """

    state: str
    reason: str | None = None

    @property
    def live(self) -> bool:
        """Whether more rows may come."""
        return self.state == "running"


class LastWritten(NamedTuple):
    """What run.json says of the end of a run and of its process. See ``RunMeta``."""

    status: str
    reason: str | None
    pid: int
    pid_start: str | None
    host: str
    pid_namespace: str | None

    @classmethod
    def of(cls, meta: RunMeta) -> LastWritten:
        """Takes them from a run's description."""
        return cls(meta.status, meta.reason, meta.pid, meta.pid_start, meta.host, meta.pid_namespace)

    @classmethod
    def from_json(cls, kept: Any) -> LastWritten:
        """Reads a list of the six.

        Raises:
            ValueError: It is none.
        """
        types = (str, str | None, int, str | None, str, str | None)
        if not isinstance(kept, list) or len(kept) != len(types) or not all(map(isinstance, kept, types)):
            raise ValueError("it says nothing about the end of a run")
        return cls(*kept)


def status_of(folder: Path, said: LastWritten) -> RunStatus:
    """Returns the status that the writer has written.

    If it is "running" and the process is gone, the status is "killed"; or "unknown", if run.json is lost.
    """
    if said.status != "running":
        return RunStatus(said.status, said.reason)
    alive = process.lives(said.pid, said.pid_start, said.host, said.pid_namespace)
    if alive is None:
        silent = silence(folder)
        alive = silent <= SILENT_SECONDS
        if not alive and not said.reason:
            return RunStatus("killed", f"no sign of process {said.pid} on {said.host} for {silent:.0f} s")
    if not alive and said.reason:
        return RunStatus("unknown", said.reason)
    return RunStatus("running") if alive else RunStatus("killed", f"process {said.pid} ended without a word")


def silence(folder: Path) -> float:
    """Returns the seconds since a file of the run was written or touched; 0 if this cannot be known."""
    try:
        with os.scandir(folder) as entries:
            # Other files do not count: whoever lists the run may have kept a summary there just now.
            own = [entry for entry in entries if RUN_FILE.fullmatch(entry.name) and entry.is_file()]
            times = [entry.stat(follow_symlinks=False).st_mtime for entry in own]
    except OSError:
        return 0.0
    return time.time() - max(times, default=time.time())
