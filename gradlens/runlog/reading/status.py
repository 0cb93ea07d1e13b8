"""Finds out whether a run is still growing, over, or was killed."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from gradlens.runlog.format import process
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


def status_of(folder: Path, meta: RunMeta) -> RunStatus:
    """Returns the status that the writer has written.

    If it is "running" and the process is gone, the status is "killed"; or "unknown", if run.json is lost.
    """
    if meta.status != "running":
        return RunStatus(meta.status, meta.reason)
    alive = process.lives(meta.pid, meta.pid_start, meta.host, meta.pid_namespace)
    if alive is None:
        silent = silence(folder)
        alive = silent <= SILENT_SECONDS
        if not alive and not meta.reason:
            return RunStatus("killed", f"no sign of process {meta.pid} on {meta.host} for {silent:.0f} s")
    if not alive and meta.reason:
        return RunStatus("unknown", meta.reason)
    return RunStatus("running") if alive else RunStatus("killed", f"process {meta.pid} ended without a word")


def silence(folder: Path) -> float:
    """Returns the seconds since a file of the run was written or touched; 0 if this cannot be known."""
    try:
        with os.scandir(folder) as entries:
            times = [entry.stat(follow_symlinks=False).st_mtime for entry in entries if entry.is_file()]
    except OSError:
        return 0.0
    return time.time() - max(times, default=time.time())
