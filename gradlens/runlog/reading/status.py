"""Whether a run is live, over, or was killed."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from gradlens.runlog.format import process
from gradlens.runlog.format.description import RunMeta

# A writer touches run.json every 10 s; after this long without a sign, a process that cannot be looked up is taken for dead.
SILENT_SECONDS = 120.0


@dataclass(frozen=True)
class RunStatus:
    """What is the matter with a run.

    Attributes:
        state: "running", "finished", "failed", "interrupted", "killed" or, where its run.json is lost or damaged, "unknown".
        reason: Why, where there is something to say.
    """

    state: str
    reason: str | None = None

    @property
    def live(self) -> bool:
        """Whether more rows may come."""
        return self.state == "running"


def status_of(folder: Path, meta: RunMeta) -> RunStatus:
    """Returns what the writer left; "killed" or, where its word is lost, "unknown" if it left "running" and is gone."""
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
    """Returns the seconds since a run's files were written or touched; 0 where that cannot be known."""
    try:
        with os.scandir(folder) as entries:
            times = [entry.stat(follow_symlinks=False).st_mtime for entry in entries if entry.is_file()]
    except OSError:
        return 0.0
    return time.time() - max(times, default=time.time())
