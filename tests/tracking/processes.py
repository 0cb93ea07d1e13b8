"""Runs programs as a user does, with and without tracking, and compares what they leave."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
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
    return _outcome(done.returncode, done.stdout, done.stderr)


def _outcome(code: int, out: str, err: str) -> Outcome:
    lines = err.splitlines(keepends=True)
    said = tuple(line.removeprefix("gradlens: ").rstrip() for line in lines if line.startswith("gradlens: "))
    return Outcome(code, out, "".join(x for x in lines if not x.startswith("gradlens: ")), said)


def plain(cwd: Path, *program: str, **environment: str) -> Outcome:
    """Runs ``python program...`` in a fresh interpreter, or in one that has read torch already (``warm_python.py``)."""
    if environment or program[0].startswith("-"):
        return run([sys.executable, *program], cwd, **environment)
    return _warm(list(program), cwd, 600)


def tracked(
    cwd: Path, *program: str, options: tuple[str, ...] = (), patience: float = 600, **environment: str
) -> Outcome:
    """Runs ``gradlens track options... program...``, like ``plain``."""
    command = [str(Path(sys.executable).with_name("gradlens")), "track", *options, *program]
    return run(command, cwd, patience, **environment) if environment else _warm(command, cwd, patience)


def _warm(program: list[str], cwd: Path, patience: float) -> Outcome:
    """Runs a Python file with its arguments by the interpreter of this process that has read torch already."""
    address = _interpreter(tuple(sorted((k, v) for k, v in os.environ.items() if k.startswith(("PYTHON", "PATH")))))
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": ""}
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as asked:
        out, err = Path(folder, "out"), Path(folder, "err")
        out.touch()
        err.touch()
        job = {"program": program, "cwd": str(cwd), "env": env, "out": str(out), "err": str(err)}
        asked.connect(address)
        asked.settimeout(patience)
        asked.sendall(json.dumps(job).encode() + b"\n")
        answer = asked.makefile()
        pid = int(answer.readline())
        try:
            code = int(answer.readline())
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(program, patience, out.read_text(), err.read_text()) from None
        return _outcome(code, out.read_text(), err.read_text())


@cache
def _interpreter(_environment: tuple[tuple[str, str], ...]) -> str:
    """Starts it, once for an environment; returns the address at which it is asked."""
    folder = tempfile.mkdtemp(prefix="warm-")
    address = str(Path(folder, "socket"))
    command = [
        sys.executable,
        str(Path(__file__).with_name("warm_python.py")),
        address,
        "numpy",
        "pyarrow",
        "rich.table",
    ]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": ""}
    process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    def end() -> None:
        process.communicate()
        shutil.rmtree(folder)

    atexit.register(end)
    return address
