"""python styles_timed.py FILE SCRIPT [ARGS]: runs a training script and notes when it asks for each backward pass.

Of several processes the first one notes.
"""

import json
import os
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def stamped(ordinary: Callable[..., Any], stamps: list[tuple[float, float]]) -> Callable[..., Any]:
    """Wraps a function of torch; backward passes that gradlens adds are part of what is timed, not marks of their own."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if not sys._getframe(1).f_globals["__name__"].startswith("gradlens"):
            stamps.append((time.process_time(), time.perf_counter()))
        return ordinary(*args, **kwargs)

    return wrapper


def main() -> None:
    """Runs the script and writes the times."""
    file, sys.argv = Path(sys.argv[1]), sys.argv[2:]
    stamps: list[tuple[float, float]] = []
    torch.Tensor.backward = stamped(torch.Tensor.backward, stamps)  # type: ignore[method-assign]
    torch.autograd.grad = stamped(torch.autograd.grad, stamps)
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise
    if os.environ.get("RANK", "0") == "0":
        file.write_text(json.dumps(stamps))


if __name__ == "__main__":
    main()
