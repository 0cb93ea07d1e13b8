"""Trains with one build of gradlens, the one on PYTHONPATH, and times its steps. It runs as a separate process.

It reads a request from each line of its input, as JSON: the settings of a training, and whether to profile it. It answers each
with a line of JSON: the seconds of each step, or the microseconds of each operator.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from gradlens.longtail import find_method, fit, load_task


def main() -> None:
    """Answers requests. The arguments are the file with the images, and the number of threads."""
    file, threads = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(threads)
    # The CPU time of a single thread does not depend on what else the machine does.
    clock = time.thread_time if threads == 1 else time.perf_counter
    task = load_task(str(file))
    stamps: list[float] = []
    register_optimizer_step_post_hook(lambda *_: stamps.append(clock()))

    def train(settings: dict[str, Any]) -> list[float]:
        stamps.clear()
        fit(find_method("ce").on(task, {"epochs": 1, **settings}), task)
        return [after - before for before, after in itertools.pairwise(stamps)]

    for line in sys.stdin:
        request = json.loads(line)
        if request["profile"]:
            with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
                train(request["settings"])
            answer: Any = {event.key: event.self_cpu_time_total for event in profile.key_averages()}
        else:
            answer = train(request["settings"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
