"""Runs a training script of the tests several times at once, in turns of some milliseconds, so that noise slows all alike.

Each run is a process of its own, or the processes of its launcher, of which the first is timed. While one run has its turn, the
others wait.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path
from typing import Any, TypeAlias

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from styles_timed import OVER, TURNS

from tests.e2e.frameworks import ACCELERATE, FRAMEWORKS, OFFLINE
from tests.e2e.styles import GROUPS, SCRIPTS, STYLES

DRIVER = Path(__file__).resolve().parent / "styles_timed.py"
# How often the data of a script is repeated: at least (in forks; in new processes) and at most.
FEWEST, FEWEST_ANEW, MOST = 20, 4, 2000
# The most processes of a launcher, and the seconds of a turn, about.
RANKS, TURN = 2, 0.005
# This style trains in processes that the script starts. The driver, which takes the times, does not see them.
STARTS_PROCESSES = "distributed-torch-multiprocessing-spawn"


@dataclass(frozen=True)
class Timed:
    """A style of training that is timed.

    Attributes:
        title: Title for people.
        program: Script and arguments. The number of repetitions of its data is added after them.
        options: Options of `gradlens track`.
        launcher: Command that starts its processes; () = ``python``.
        fork: True if it may run in a fork of this process, which has imported torch already.
    """

    title: str
    program: tuple[str, ...]
    options: tuple[str, ...]
    launcher: tuple[str, ...] = ()
    fork: bool = True


# Runs in a fork, in the folder of the run, until the script has ended. Arguments: style, repetitions of its data, folder.
Child: TypeAlias = Callable[[Timed, int, Path], None]

TIMED = {
    **{
        name: Timed(style.title, (style.script, *style.arguments), style.options, fork=not style.alone)
        for name, style in STYLES.items()
        if not style.instead
    },
    **{
        name: Timed(case.title, (*case.program, "--epochs"), GROUPS, case.launcher, fork=False)
        for name, case in FRAMEWORKS.items()
        if name != STARTS_PROCESSES
    },
}


def words(style: Timed, times: int, folder: Path, driver: Path = DRIVER) -> list[str]:
    """Returns the arguments of ``python``: the driver, its file, the script and its arguments."""
    return [str(driver), str(folder / "stamps.json"), *style.program, str(times)]


def start_anew(style: Timed, track: Sequence[str], program: Sequence[str]) -> None:
    """Replaces this process with the process or processes of a program.

    Args:
        style: The style.
        track: Arguments before the program that track it; empty = untracked.
        program: The program and its arguments.
    """
    os.environ.update(OFFLINE, OMP_NUM_THREADS="1")
    command = [*(style.launcher or (sys.executable,))]
    if style.launcher == ACCELERATE:  # it does not search for a free port, so two at once would use the same
        command += ["--main_process_port", str(unused_port())]
    os.execv(command[0], [*command, *track, *program])


def unused_port() -> int:
    """Returns a port that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def started(style: Timed, times: int, folder: Path, child: Child, *, turns: str | None = None) -> int:
    """Starts a style in a fork of this process and returns the process id of the fork."""
    shutil.copytree(SCRIPTS, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    pid = os.fork()
    if not pid:
        if turns is not None:
            os.environ[TURNS] = turns
        _in_child(style, times, folder, child)
    return pid


def _in_child(style: Timed, times: int, folder: Path, child: Child) -> None:
    code = 1
    try:
        atexit._clear()
        for stream, name in ((1, "out.txt"), (2, "err.txt")):
            os.dup2(os.open(folder / name, os.O_CREAT | os.O_WRONLY), stream)
        os.chdir(folder)
        child(style, times, folder)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def stamps_of(style: Timed, folder: Path, status: int) -> list[Any]:
    """Returns the notes of the driver about a run.

    Args:
        style: The style.
        folder: Folder of the run.
        status: Status with which its process ended.

    Raises:
        RuntimeError: The run failed.
    """
    if code := os.waitstatus_to_exitcode(status):
        raise RuntimeError(f"{style.title} exited with {code}: {(folder / 'err.txt').read_text()[-2000:]}")
    return json.loads((folder / "stamps.json").read_text())


def in_turns(
    style: Timed, times: int, passes: int, folders: Sequence[Path], children: Sequence[Child]
) -> list[list[Any]]:
    """Runs a style several times at once, in turns, and returns the stamps of each run.

    Args:
        style: The style.
        times: How often its data is repeated.
        passes: Backward passes of a turn.
        folders: Folder of each run.
        children: Runs the script, for each run.
    """
    # Each process of each run has a pipe. A process that reads a byte from its pipe has the turn.
    names = [str(folder) + ".{rank}" for folder in folders]
    pipes = []
    for name in names:
        for rank in range(RANKS):
            os.mkfifo(name.format(rank=rank))
            pipes.append(os.open(name.format(rank=rank), os.O_RDWR))
    for pipe in pipes[:RANKS]:
        os.write(pipe, b".")
    runs = {}
    for at, (folder, child) in enumerate(zip(folders, children, strict=True)):
        turns = f"{passes} {names[at]} {names[(at + 1) % len(names)]}"
        runs[started(style, times, folder, child, turns=turns)] = at
    statuses = {}
    while len(statuses) < len(runs):
        pid, status = os.wait()
        statuses[runs[pid]] = status
        for pipe in pipes:  # the others, which are about to end, need no turns any more
            os.write(pipe, OVER)
    for pipe in pipes:
        os.close(pipe)
    return [stamps_of(style, folder, statuses[at]) for at, folder in enumerate(folders)]


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Returns the 95 % interval of the median from order statistics; with fewer than six values the range of all."""
    n, inside = len(values), sorted(values)
    outside, k = 0.0, 0
    while (outside := outside + comb(n, k) / 2**n) <= 0.025 and k < n // 2:
        k += 1
    rank = max(k - 1, 0)
    return inside[rank], inside[n - 1 - rank]


def calibrated(style: Timed, seconds: float, child: Child, *, by_cpu: bool = False) -> tuple[int, int]:
    """Returns how often the data of a script must be repeated for a loop of given length, and the backward passes of a turn.

    Args:
        style: The style.
        seconds: Length of the untracked loop, about.
        child: Runs the style untracked.
        by_cpu: True if seconds are CPU time, so that a busy machine makes no difference.
    """
    fewest = FEWEST if style.fork else FEWEST_ANEW
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "alone"
        status = os.waitpid(started(style, fewest, folder, child), 0)[1]
        stamps = stamps_of(style, folder, status)
    # Time counts from the middle on, since a compiler works in the first passes.
    middle = len(stamps) // 2
    cpu, took = (stamps[-1][clock] - stamps[middle][clock] for clock in (0, 1))
    a_pass = (cpu if by_cpu else took) / (len(stamps) - 1 - middle)
    times = min(max(round(fewest * seconds / (a_pass * len(stamps))), fewest), MOST)
    waits_for_its_own = not by_cpu and not style.launcher and cpu < 0.5 * took
    return times, times * len(stamps) if waits_for_its_own else max(round(TURN / a_pass), 1)
