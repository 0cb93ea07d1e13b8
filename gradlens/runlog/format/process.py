"""Identifies the process that writes a run, and says whether it is still alive."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path


def host() -> str:
    """Returns the name of this machine; inside a container, the name of the container."""
    import socket  # here: a list of runs that are over needs none of it

    return socket.gethostname()


def namespace() -> str | None:
    """Returns the namespace of this process's number (each container has its own); None if it is not known."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return None


def start_mark(pid: int) -> str | None:
    """Returns a text from boot and start time, different for two processes with the same number; None if not known.

    A process that is dead but not yet reaped by its parent has none either.
    """
    if Path("/proc/self/stat").exists():
        fields = _linux_stat(pid)
        return None if fields is None else f"{_boot()}:{fields[19]}"
    if os.name == "posix":
        import subprocess

        found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return found.stdout.strip() or None
    return None


def lives(pid: int, mark: str | None, on_host: str, in_namespace: str | None) -> bool | None:
    """Says whether the process ``pid`` with start mark ``mark`` is still alive; None if this cannot be known from here."""
    if on_host != host() or pid <= 0 or os.name != "posix":
        return None
    if in_namespace != namespace():  # another container with the same host name, or a version that did not write it
        return True if in_namespace is None and mark is not None and start_mark(pid) == mark else None
    now = start_mark(pid)
    return now is not None and (mark is None or now == mark)


def _linux_stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the command in brackets may have spaces; fields[0] is the state
    return None if not fields or fields[0] in ("Z", "X") else fields


@lru_cache(maxsize=1)
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
