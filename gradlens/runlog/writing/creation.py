"""Makes the folder of a new run, or opens that of a run to resume. If this is not possible, raises before training starts."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from gradlens.runlog.errors import RunError, RunExistsError
from gradlens.runlog.format import process
from gradlens.runlog.format.description import FILE, RunMeta, write_meta
from gradlens.runlog.format.names import SEGMENTS
from gradlens.runlog.reading.description import read_description
from gradlens.runlog.reading.segment import Segment
from gradlens.runlog.reading.status import silence

# A writer touches run.json every 10 s. If it did within this time, its process is taken as alive, even if it cannot be seen.
FRESH_SECONDS = 30.0


def claim(path: Path, meta: RunMeta, *, resume: bool) -> tuple[RunMeta, int]:
    """Makes the run's folder and run.json.

    Returns:
        The description with process, status and times filled in, and the number of earlier starts.

    Raises:
        RunExistsError: The folder is not empty and ``resume`` is False, or another process writes to it.
        RunError: The folder cannot be made or written, or the run to resume has other groups.
    """
    if not isinstance(meta.groups.get("groups"), dict) or not meta.groups["groups"]:
        raise RunError("RunMeta.groups is no description of class groups; pass ClassGroups(...).to_json()")
    meta = replace(
        meta,
        status="running",
        reason=None,
        pid=os.getpid(),
        pid_start=process.start_mark(os.getpid()),
        pid_namespace=process.namespace(),
        host=process.host(),
        id=secrets.token_hex(8),
        files={},
        started=time.time(),
        ended=None,
    )
    try:
        path.mkdir(parents=True, exist_ok=True)
        content = os.listdir(path)
    except FileExistsError as error:
        raise RunExistsError(f"{path} is a file; choose another folder (--out)") from error
    except OSError as error:
        raise RunError(f"cannot make the folder {path}: {error.strerror}; choose another with --out") from error
    session = 0
    if content:
        if not resume:
            raise RunExistsError(
                f"{path} already exists and holds {_some(content)}; choose another folder (out=), or resume the run in it "
                "(resume=True)"
            )
        meta, session = _continued(path, meta)
    try:
        write_meta(path, meta, new=not content)
    except FileExistsError as error:
        raise RunExistsError(
            f"another process has just started a run in {path}; choose another folder (--out)"
        ) from error
    except OSError as error:
        raise RunError(
            f"cannot write {path / FILE}: {error.strerror}; make it writable or choose another --out"
        ) from error
    return meta, session


def _continued(path: Path, meta: RunMeta) -> tuple[RunMeta, int]:
    old, _ = read_description(path)
    if old.status == "running" and old.pid != os.getpid():
        alive = process.lives(old.pid, old.pid_start, old.host, old.pid_namespace)
        if alive or (alive is None and silence(path) < FRESH_SECONDS):
            raise RunExistsError(
                f"process {old.pid} is still writing the run {path} (on {old.host}); stop it first, or choose another folder "
                "(--out)"
            )
    if old.groups.get("groups") != meta.groups["groups"]:
        mine, theirs = ", ".join(meta.groups["groups"]), ", ".join(old.groups.get("groups", {}))
        raise RunError(
            f"the run {path} has other groups ({theirs}) than this training ({mine}); resume it with the same groups"
        )
    starts = max(int(old.extra.get("starts", 1)), 1)
    extra = {**old.extra, **meta.extra, "starts": starts + 1}
    # A run that began without checksums keeps no id: its earlier lines and segments have none.
    return replace(meta, started=old.started, extra=extra, id=old.id, files=_sealed(path, old)), starts


def _sealed(path: Path, old: RunMeta) -> dict[str, dict[str, Any]]:
    """Returns the facts about the files. Adds the rows and digests of segments that a killed process did not close."""
    files = dict(old.files)
    for name, facts in old.files.items():
        if SEGMENTS.fullmatch(name) and facts.get("rows") is None:
            segment = Segment(path / name)
            with contextlib.suppress(RunError):  # who opens the run learns that it cannot be read
                segment.refresh()
            if segment.layout is not None and not segment.problems:
                files[name] = {"rows": segment.written, "digest": f"{segment.digest:08x}"}
    return files


def _some(names: list[str]) -> str:
    shown = ", ".join(sorted(names)[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
