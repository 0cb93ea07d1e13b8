"""Makes the folder of a tracked run: a new one each time, before the training starts."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from gradlens.tracking.errors import TrackError

RUNS = Path("runs")


def make_folder(out: Path | None, name: str | None, default: str) -> Path:
    """Makes an empty folder for the run and returns its absolute path.

    Args:
        out: The folder that --out names, or None.
        name: The folder's name below runs/ that --name gives, or None.
        default: Name below runs/ if both are None. If it is taken, "-2", "-3" and so on is added.

    Raises:
        TrackError: The named folder is not empty, or it cannot be made or written.
    """
    if name is not None and (name in ("", ".", "..") or len(Path(name).parts) != 1):
        raise TrackError(
            f"--name {name!r} is no name of a folder below {RUNS}/; give a plain name, or a path with --out"
        )
    if out is not None or name is not None:
        option, folder = ("--out", out) if out is not None else ("--name", RUNS / str(name))
        assert folder is not None
        return _make_asked(folder.absolute(), f"{option} {out if out is not None else name}")
    number = 1
    while True:
        folder = (RUNS / (default if number == 1 else f"{default}-{number}")).absolute()
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise TrackError(f"cannot make {folder}: {error.strerror}; choose a folder with --out") from error
        else:
            return folder


def remove_if_empty(folder: Path) -> None:
    """Removes the folder of a run if nothing was written to it."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def _held(folder: Path) -> bool:
    """Locks a folder until the process ends. Returns False if another process has locked it."""
    try:
        import fcntl
    except ImportError:  # this operating system has no such locks
        return True
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return False
    except OSError:
        os.close(handle)  # this file system has no locks
    return True


def _make_asked(folder: Path, asked: str) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not _held(folder):
            raise TrackError(f"{asked}: another training is about to write to {folder}; choose another name")
        if any(folder.iterdir()):
            raise TrackError(
                f"{asked}: {folder} exists and is not empty; a run never overwrites another: choose another name, or remove it"
            )
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise TrackError(f"{asked}: cannot write to {folder}: {error.strerror}; choose another folder") from error
    return folder
