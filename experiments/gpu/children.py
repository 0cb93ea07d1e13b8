"""Child processes of ``on_gpu.py``. Each has its own process group and a deadline, and can be stopped for a while."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

GRACE = 5.0  # seconds from the request to end until it is killed


class Child:
    """A program that runs until it ends or its deadline has passed."""

    def __init__(self, name: str, command: list[str], log: Path, until: float, env: dict[str, str]) -> None:
        """Starts the program.

        Args:
            name: Name in the results.
            command: Command to run.
            log: File for its output.
            until: Deadline, as ``time.monotonic()``.
            env: Its environment.
        """
        self.name, self.until, self.log = name, until, log
        self._begun = time.monotonic()
        self._output = log.open("w")
        self._process = subprocess.Popen(
            command, stdout=self._output, stderr=subprocess.STDOUT, env=env, start_new_session=True
        )
        self.cut = False
        self.seconds = 0.0

    @property
    def running(self) -> bool:
        """True while it runs. If its deadline has passed, it is ended first."""
        if self._process.poll() is None and time.monotonic() >= self.until:
            self.end()
        if self._process.poll() is None:
            return True
        self.seconds = self.seconds or time.monotonic() - self._begun
        self._output.close()
        return False

    def hold(self) -> None:
        """Stops it for a while, so that nothing disturbs what is timed."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Continues it. Its deadline does not change."""
        self._signal(signal.SIGCONT)

    def ask_to_end(self) -> None:
        """Asks it and all its children to end."""
        self.cut = True
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)

    def end(self) -> None:
        """Ends it and all its children. Kills them if they do not end by themselves."""
        self.ask_to_end()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def facts(self) -> dict[str, Any]:
        """Returns exit code, whether it was ended early, its seconds and, after a failure, the end of its output."""
        code = self._process.poll()
        tail = "" if code == 0 else self.log.read_text(errors="replace")[-1500:]
        return {"exit": code, "cut": self.cut, "seconds": round(self.seconds, 1)} | ({"output": tail} if tail else {})

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
