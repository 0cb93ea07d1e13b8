"""Runs trainings in processes, some at a time, until none is left. It can be cut at any time and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from one_training import TAKEN
from wanted import Wanted, result, state

ONE = Path(__file__).resolve().parent / "one_training.py"
POLL = 1.0  # seconds
MOST_DEATHS = 3


class Queue:
    """Runs trainings in processes of their own.

    Args:
        trainings: The trainings, the most wanted first.
        runs: Folder of all trainings.
        arguments: Further arguments of ``one_training.py``.
        jobs: The most trainings at a time.
        on_finished: Called after a training has finished.
    """

    def __init__(
        self,
        trainings: Sequence[Wanted],
        runs: Path,
        arguments: Sequence[str],
        jobs: int,
        on_finished: Callable[[], None],
    ) -> None:
        self.trainings = trainings
        self.runs = runs
        self.arguments = arguments
        self.jobs = jobs
        self.on_finished = on_finished
        self.failed: set[Wanted] = set()
        self._running: dict[Wanted, subprocess.Popen[bytes]] = {}
        self._deaths: Counter[Wanted] = Counter()

    def run(self) -> None:
        """Runs until nothing is left to start. TERM and Ctrl-C end the trainings too; they lose the epoch they are in."""
        signal.signal(signal.SIGTERM, _as_exit)
        try:
            while self._running or self._next() is not None:
                while len(self._running) < self.jobs and (training := self._next()) is not None:
                    self._start(training)
                time.sleep(POLL)
                for training, process in list(self._running.items()):
                    if process.poll() is not None:
                        del self._running[training]
                        self._ended(training, process.returncode)
        finally:
            for process in self._running.values():
                process.terminate()
            for process in self._running.values():
                process.wait()

    def _next(self) -> Wanted | None:
        """Returns the most wanted training that can be started; None if there is none."""
        for training in self.trainings:
            if training in self._running or training in self.failed:
                continue
            ready = not training.twin_of or bool(result(training.other, self.runs))
            if ready and state(training, self.runs).kind in ("waiting", "cut"):
                return training
        return None

    def _start(self, training: Wanted) -> None:
        folder = self.runs / training.name
        folder.mkdir(parents=True, exist_ok=True)
        own = [training.method, f"{training.imbalance:g}", str(training.seed)]
        own += [f"--twin-of={training.twin_of}", f"--preset={training.preset}"]
        # One thread each: with another number of threads sums are rounded in another way.
        environment = os.environ | {"OMP_NUM_THREADS": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
        with (folder / "log.txt").open("ab") as log:
            self._running[training] = subprocess.Popen(
                [sys.executable, str(ONE), *own, *self.arguments], env=environment, stdout=log, stderr=log
            )
        print(f"{training.name}: started, {state(training, self.runs)}", flush=True)

    def _ended(self, training: Wanted, code: int) -> None:
        if not code:
            print(f"{training.name}: done", flush=True)
            self.on_finished()
        elif code == TAKEN:
            print(f"{training.name}: another process trains it", flush=True)
        elif code < 0 and self._deaths[training] < MOST_DEATHS:
            self._deaths[training] += 1
            print(f"{training.name}: ended by {signal.Signals(-code).name}; it is started again", flush=True)
        else:
            self.failed.add(training)
            log = self.runs / training.name / "log.txt"
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            print(f"{training.name}: failed with exit code {code}: {''.join(last)} ({log})", flush=True)


def _as_exit(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    sys.exit(128 + number)
