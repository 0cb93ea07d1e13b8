"""Child processes of ``on_gpu.py``: each in a group of its own, with a deadline, that can be held for a while."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

GRACE = 5.0  # seconds between the request to end and the end


class Child:
    """A program that runs until it ends or its time is up."""

    def __init__(self, name: str, command: list[str], log: Path, until: float, env: dict[str, str]) -> None:
        """Starts it.

        Args:
            name: In the results.
            command: What to run.
            log: Takes its output.
            until: ``time.monotonic()`` at which it is ended.
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
        """Whether it still runs; ends it where its time is up."""
        if self._process.poll() is None and time.monotonic() >= self.until:
            self.end()
        if self._process.poll() is None:
            return True
        self.seconds = self.seconds or time.monotonic() - self._begun
        self._output.close()
        return False

    def hold(self) -> None:
        """Stops it for now, so that what is timed has the machine to itself."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Lets it go on; its own deadline stays."""
        self._signal(signal.SIGCONT)

    def ask_to_end(self) -> None:
        """Asks it and all its children to end."""
        self.cut = True
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)

    def end(self) -> None:
        """Ends it with all its children."""
        self.ask_to_end()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def facts(self) -> dict[str, Any]:
        """Returns how it went."""
        code = self._process.poll()
        tail = "" if code == 0 else self.log.read_text(errors="replace")[-1500:]
        return {"exit": code, "cut": self.cut, "seconds": round(self.seconds, 1)} | ({"output": tail} if tail else {})

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
