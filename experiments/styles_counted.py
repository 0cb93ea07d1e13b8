"""python styles_counted.py FILE SCRIPT [ARGS]: runs a training script and counts function calls up to each backward pass.

At each backward pass of the script it notes the calls so far: by code of gradlens (of Python functions, of other functions), and
by all code. Unlike times these numbers are the same in each run.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from styles_timed import run_script

# Code whose path holds this is counted separately.
PACKAGE = f"{os.sep}gradlens{os.sep}"


class Calls:
    """Counts calls in this thread.

    Attributes:
        counts: Calls of Python functions by code of gradlens, calls of other functions by code of gradlens, calls by any code.
    """

    def __init__(self) -> None:
        self.counts = [0, 0, 0]

    def __call__(self, frame: Any, event: str, argument: Any) -> None:  # noqa: ARG002
        """Counts a call. Python's profiler calls this at each call and return."""
        if event not in ("call", "c_call"):
            return
        self.counts[2] += 1
        if PACKAGE in frame.f_code.co_filename:
            self.counts[event == "c_call"] += 1


def main() -> None:
    """Runs the script and writes the counts."""
    file, sys.argv = Path(sys.argv[1]), sys.argv[2:]
    calls = Calls()
    noted: list[list[int]] = []

    def passed() -> None:
        noted.append(list(calls.counts))
        if len(noted) == 1:
            sys.setprofile(calls)

    run_script(passed)
    sys.setprofile(None)
    if os.environ.get("RANK", "0") == "0":
        file.write_text(json.dumps(noted))


if __name__ == "__main__":
    main()
