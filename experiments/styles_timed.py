"""python styles_timed.py FILE SCRIPT [ARGS]: runs a training script and notes the time of each backward pass.

If TURNS is set, it takes turns with the same script in another process. A turn is a number of backward passes. So what slows the
machine for a while slows both. Time spent waiting for a turn is left out, both in the notes and for gradlens.
"""

import json
import os
import runpy
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import torch

# "PASSES MINE OTHER": passes of a turn, and the named pipes of this and of the other process. Their names hold "{rank}".
TURNS = "GRADLENS_BENCH_TURNS"
# Sent instead of a turn: the other process has ended.
OVER = b"!"
# Backward passes that these modules call are not the script's. A compiler traces its own; their number depends on its cache.
NOT_THE_SCRIPT = ("gradlens", "torch._functorch")


class Turns:
    """Hands the turn to the other process and waits until it comes back.

    Attributes:
        waited: Seconds that were spent waiting.
    """

    def __init__(self, passes: int, mine: str, other: str) -> None:
        self._passes = count()
        self._each = passes
        # Opened for reading and writing, since opening a pipe only for reading waits for its writer.
        self._mine, self._other = os.open(mine, os.O_RDWR), os.open(other, os.O_RDWR)
        self._now = time.perf_counter
        self.waited = 0.0

    def now(self) -> float:
        """Returns the seconds on the clock, without the time spent waiting."""
        return self._now() - self.waited

    def passed(self) -> None:
        """Called before each backward pass. Ends the turn if its passes are done, and waits for the next turn."""
        number = next(self._passes)
        if number % self._each == 0:
            begun = self._now()
            if number:
                os.write(self._other, b".")
            if os.read(self._mine, 1) == OVER:
                self._each = sys.maxsize
            self.waited += self._now() - begun


def take_turns(rank: str) -> Callable[[], None]:
    """Returns the function to call before each backward pass."""
    if TURNS not in os.environ:
        return lambda: None
    passes, mine, other = os.environ[TURNS].split(" ")
    turns = Turns(int(passes), mine.format(rank=rank), other.format(rank=rank))
    time.perf_counter = turns.now
    return turns.passed


def asked(ordinary: Callable[..., Any], passed: Callable[[], None]) -> Callable[..., Any]:
    """Returns a wrapper of a torch function that calls ``passed`` first.

    It does not for passes that gradlens or a compiler adds. These are part of the timed work.
    """

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if not sys._getframe(1).f_globals["__name__"].startswith(NOT_THE_SCRIPT):
            passed()
        return ordinary(*args, **kwargs)

    return wrapper


def run_script(passed: Callable[[], None]) -> None:
    """Runs the script of the command line, and calls ``passed`` before each of its backward passes."""
    torch.Tensor.backward = asked(torch.Tensor.backward, passed)  # type: ignore[method-assign]
    torch.autograd.grad = asked(torch.autograd.grad, passed)
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise


def main() -> None:
    """Runs the script and writes the times."""
    file, sys.argv = Path(sys.argv[1]), sys.argv[2:]
    stamps: list[tuple[float, float]] = []
    rank = os.environ.get("RANK", "0")
    take_turn = take_turns(rank)

    def passed() -> None:
        take_turn()
        stamps.append((time.process_time(), time.perf_counter()))

    run_script(passed)
    if rank == "0":
        file.write_text(json.dumps(stamps))


if __name__ == "__main__":
    main()
