"""Which process writes a run, and whether it still lives."""

from __future__ import annotations

import os
import socket
import subprocess
from functools import lru_cache
from pathlib import Path


def host() -> str:
    """Returns the name of this machine (of this container, inside one)."""
    return socket.gethostname()


def namespace() -> str | None:
    """Returns a text that says where process numbers of this process count (a container has its own), or None if unknown."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return None


def start_mark(pid: int) -> str | None:
    """Returns a text that differs for two processes that had the same ``pid``: boot and start time, or None if unknown.

    A process that is dead but not yet reaped by its parent counts as gone: None.
    """
    if Path("/proc/self/stat").exists():
        fields = _linux_stat(pid)
        return None if fields is None else f"{_boot()}:{fields[19]}"
    if os.name == "posix":
        found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return found.stdout.strip() or None
    return None


def lives(pid: int, mark: str | None, on_host: str, in_namespace: str | None) -> bool | None:
    """Says whether the process ``pid`` that had start mark ``mark`` still lives; None where it cannot be known from here."""
    if on_host != host() or pid <= 0 or os.name != "posix":
        return None
    if in_namespace != namespace():  # another container with the same host name, or a version that did not note it
        return True if in_namespace is None and mark is not None and start_mark(pid) == mark else None
    now = start_mark(pid)
    return now is not None and (mark is None or now == mark)


def _linux_stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the command in brackets may hold spaces; fields[0] is the state
    return None if not fields or fields[0] in ("Z", "X") else fields


@lru_cache(maxsize=1)
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
