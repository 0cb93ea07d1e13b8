"""The process of one build in ``bench_measured_step.py``: it trains for cycles of a few steps, with and without a lens.

    PYTHONPATH=BUILD python measured_cycles.py FOLDER WARM

Each line that it reads says groups, engine and cycles. It answers with the CPU seconds of each cycle: [plain, with a lens].
The line "digits NAME STEPS" lets it train on the digits of ``gradlens demo`` within the default budget of 5 %. It answers with
the number of measured steps.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

import gradlens
from gradlens import ClassGroups, Lens

ENGINES = ("split", "masked", "func")
GROUPS = (2, 10)
STEPS = 5


def cycle(groups: int, engine: str | None, out: str) -> Callable[[], None]:
    """Returns a function that trains for a few steps, of which one is measured; engine None: none is."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x, y = torch.randn(64, 64), torch.randint(0, 10, (64,))
    two = ClassGroups({"head": range(7), "tail": range(7, 10)}, 10)
    chosen = two if groups == 2 else ClassGroups.per_class(10)
    lens = None if engine is None else Lens(model, chosen, optimizer=optimizer, every=STEPS, engine=engine, out=out)

    def run() -> None:
        for _ in range(STEPS):
            loss = F.cross_entropy(model(x), y)
            loss.backward() if lens is None else lens.backward(loss, y)
            optimizer.step()
            optimizer.zero_grad()

    return run


def measured_digits(out: str, steps: int) -> int:
    """Trains on handwritten digits within the default budget, and returns how many steps were measured."""
    data = load_digits()
    x, y = torch.from_numpy(data.data / 16).float(), torch.from_numpy(data.target)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    groups = ClassGroups({"head": range(7), "tail": range(7, 10)}, 10)
    measured, last = 0, None
    with Lens(model, groups, optimizer=optimizer, budget=0.05, out=out) as lens:
        for _ in range(steps):
            rows = torch.randint(len(y), (64,))
            lens.backward(F.cross_entropy(model(x[rows]), y[rows]), y[rows])
            optimizer.step()
            optimizer.zero_grad()
            measured += lens.last is not last
            last = lens.last
    return measured


def work(folder: str, warm: int) -> None:
    """Measures for the process that started this one. Each line it is given says groups, engine and cycles."""
    torch.set_num_threads(1)
    plain = cycle(2, None, "")
    measured = {(k, e): cycle(k, e, f"{folder}/{e}{k}") for k in GROUPS for e in ENGINES}
    for run in (plain, *measured.values()):
        for _ in range(warm):
            run()
    print("ready", flush=True)
    for line in sys.stdin:
        groups, engine, cycles = line.split()
        if groups == "digits":
            print(measured_digits(f"{folder}/{engine}", int(cycles)), flush=True)
            continue
        seconds = []
        for _ in range(int(cycles)):
            times = [time.process_time()]
            for run in (plain, measured[int(groups), engine]):
                run()
                times.append(time.process_time())
            seconds.append((times[1] - times[0], times[2] - times[1]))
        print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    assert Path(gradlens.__file__).is_relative_to(os.environ["PYTHONPATH"]), gradlens.__file__
    work(sys.argv[1], int(sys.argv[2]))
