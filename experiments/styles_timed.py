"""python styles_timed.py FILE SCRIPT [ARGS]: runs a training script and notes when it asks for each backward pass.

Where TURNS is set, it takes turns with the same script in another process, so many backward passes each: what slows the machine
down for a while slows down both. Time of waiting for a turn does not exist, neither for the notes nor for gradlens.
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

# "PASSES MINE OTHER": how many passes a turn has, and the named pipes through which turns are given; "{rank}" in their names.
TURNS = "GRADLENS_BENCH_TURNS"
# Instead of a turn: the other process has ended.
OVER = b"!"
# Whose backward passes are not the script's: a compiler traces its own, more or fewer of them as its cache is warm or cold.
NOT_THE_SCRIPT = ("gradlens", "torch._functorch")


class Turns:
    """Hands the turn to the other process and waits until it comes back.

    Attributes:
        waited: Seconds that were spent waiting.
    """

    def __init__(self, passes: int, mine: str, other: str) -> None:
        self._passes = count()
        self._each = passes
        # Open for both, as a pipe that is open for reading alone waits for its writer.
        self._mine, self._other = os.open(mine, os.O_RDWR), os.open(other, os.O_RDWR)
        self._now = time.perf_counter
        self.waited = 0.0

    def now(self) -> float:
        """The time, as if nobody had ever waited."""
        return self._now() - self.waited

    def passed(self) -> None:
        """Ends the turn if it has had its passes; before the first pass, waits for the first turn."""
        number = next(self._passes)
        if number % self._each == 0:
            begun = self._now()
            if number:
                os.write(self._other, b".")
            if os.read(self._mine, 1) == OVER:
                self._each = sys.maxsize
            self.waited += self._now() - begun


def take_turns(rank: str) -> Callable[[], None]:
    """Returns what is to be called at each backward pass."""
    if TURNS not in os.environ:
        return lambda: None
    passes, mine, other = os.environ[TURNS].split(" ")
    turns = Turns(int(passes), mine.format(rank=rank), other.format(rank=rank))
    time.perf_counter = turns.now
    return turns.passed


def asked(ordinary: Callable[..., Any], passed: Callable[[], None]) -> Callable[..., Any]:
    """Wraps a function of torch; passes that gradlens adds, or a compiler, are part of what is timed, not marks of their own."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if not sys._getframe(1).f_globals["__name__"].startswith(NOT_THE_SCRIPT):
            passed()
        return ordinary(*args, **kwargs)

    return wrapper


def run_script(passed: Callable[[], None]) -> None:
    """Runs the script that the command line names, and calls ``passed`` before each of its backward passes."""
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
