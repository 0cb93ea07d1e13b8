"""Runs programs as a user does, with and without tracking, and compares what they leave."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """What a process left: exit code (negative: a signal), output, and its errors without the lines of gradlens."""

    code: int
    out: str
    err: str
    said: tuple[str, ...]


def run(command: list[str], cwd: Path, patience: float = 600, **environment: str) -> Outcome:
    """Runs a command with this interpreter's environment, on one thread, for at most so many seconds."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "", **environment}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=patience, check=False)
    lines = done.stderr.splitlines(keepends=True)
    said = tuple(line.removeprefix("gradlens: ").rstrip() for line in lines if line.startswith("gradlens: "))
    return Outcome(done.returncode, done.stdout, "".join(x for x in lines if not x.startswith("gradlens: ")), said)


def plain(cwd: Path, *program: str, **environment: str) -> Outcome:
    """Runs ``python program...``."""
    return run([sys.executable, *program], cwd, **environment)


def tracked(
    cwd: Path, *program: str, options: tuple[str, ...] = (), patience: float = 600, **environment: str
) -> Outcome:
    """Runs ``gradlens track options... program...``."""
    command = [str(Path(sys.executable).with_name("gradlens")), "track", *options, *program]
    return run(command, cwd, patience, **environment)
