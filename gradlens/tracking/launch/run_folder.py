"""Where a tracked run goes: a new folder each time, made before the training starts."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from gradlens.tracking.errors import TrackError

RUNS = Path("runs")


def make_folder(out: Path | None, name: str | None, default: str) -> Path:
    """Makes an empty folder for the run and returns its absolute path.

    Args:
        out: The folder, as asked for.
        name: The folder's name below runs/, as asked for.
        default: Name below runs/ where neither is given; the first free one of it, it-2, it-3, ...

    Raises:
        TrackError: The asked folder holds something, or cannot be made or written.
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
    """Removes the folder of a run to which nothing was written."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def _held(folder: Path) -> bool:
    """Holds an empty folder until the process ends; False where another process holds it."""
    try:
        import fcntl
    except ImportError:  # only where there are no such locks
        return True
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return False
    except OSError:
        os.close(handle)  # a file system without locks
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
