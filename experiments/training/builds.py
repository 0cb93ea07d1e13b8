"""Times the steps of two builds of gradlens in turns, and says where the time of a step goes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np

WORKER = Path(__file__).with_name("one_build.py")
CLASSES = 100
# The earlier build runs twice: how far the ratio of the second to the first is from 1 is noise.
BEFORE, AGAIN = "before", "before, again"
# What this build is asked to do. The last way says what the other memory format costs.
WAYS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "compile": {"compile": True},
    "bfloat16": {"precision": "bfloat16"},
    "bfloat16, compile": {"precision": "bfloat16", "compile": True},
    "channels first": {"memory_format": "contiguous_format"},
}
# Part of a step -> beginnings of the names of its operators, as the profiler gives them. The first that fits counts.
PARTS = {
    "convolutions, backward": ("aten::convolution_backward",),
    "convolutions, forward": ("aten::mkldnn_convolution", "aten::_convolution", "aten::convolution", "aten::conv2d"),
    "batch norm": ("aten::native_batch_norm", "aten::batch_norm", "aten::_batch_norm"),
    "ReLU": ("aten::clamp", "aten::threshold", "aten::relu"),
    "compiled code": ("##", "Torch-Compiled", "CompiledFunction"),
    "optimizer": ("Optimizer",),
    "other": ("aten::addm", "aten::addc"),
    "additions (shortcuts, optimizer)": ("aten::add",),
    "copies and casts": ("aten::copy", "aten::to", "aten::_to_copy", "aten::fill", "aten::zero"),
    "images (taking, cropping, flipping)": (
        "aten::index",
        "aten::flip",
        "aten::where",
        "aten::random",
        "aten::constant_pad",
    ),
}


class Training:
    """A process that trains with one build in one way."""

    def __init__(self, checkout: Path, images: Path, threads: int, settings: Mapping[str, Any]) -> None:
        self._settings = dict(settings)
        environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": str(threads)}
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER), str(images), str(threads)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, *, profile: bool = False) -> Any:
        """Returns the seconds of the steps of a training, or the microseconds of its operators."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"settings": self._settings, "profile": profile}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()


def write_images(file: Path, images: int) -> None:
    """Writes random bytes of CIFAR's shape as training images, and one image for the test."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (images, 32, 32, 3), dtype=np.uint8)
    y = np.arange(images) % CLASSES
    np.savez(file, x_train=x, y_train=y, x_test=x[:1], y_test=y[:1])


def trainings(before: Path, now: Path, images: Path, threads: int, common: Mapping[str, Any]) -> dict[str, Training]:
    """Starts a process for each way. What a process did before changes its times, so none trains in two ways.

    Args:
        before: Checkout of the earlier build.
        now: Checkout of this build.
        images: The file with the images.
        threads: Threads of each process.
        common: Settings of all trainings.
    """
    started = {name: Training(before, images, threads, common) for name in (BEFORE, AGAIN)}
    return started | {name: Training(now, images, threads, {**common, **own}) for name, own in WAYS.items()}


def timed(ways: Mapping[str, Training], rounds: int) -> dict[str, list[float]]:
    """Returns the median seconds of a step in each round, for each way."""
    for training in ways.values():
        training.ask()  # warm-up; compiles
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, training in ways.items():
            seconds[name].append(median(training.ask()))
    return seconds


def summary(seconds: Mapping[str, list[float]]) -> dict[str, dict[str, Any]]:
    """Returns for each way the milliseconds of a step, and its ratio to the earlier build: medians with quartiles."""
    rows = {}
    for name, own in seconds.items():
        ratios = [a / b for a, b in zip(own, seconds[BEFORE], strict=True)]
        rows[name] = {
            "ms": 1e3 * median(own),
            "ms_quartiles": [1e3 * each for each in quantiles(own, n=4)[::2]],
            "ratio": median(ratios),
            "ratio_quartiles": quantiles(ratios, n=4)[::2],
        }
    return rows


def profiles(ways: Mapping[str, Training]) -> dict[str, dict[str, float]]:
    """Returns for each way of this build the part of a step's time that goes into each kind of operator. They add up to 1."""
    found = {}
    for name in WAYS:
        parts = dict.fromkeys(PARTS, 0.0)
        for operator, microseconds in ways[name].ask(profile=True).items():
            parts[part_of(operator)] += microseconds
        whole = sum(parts.values())
        found[name] = {part: value / whole for part, value in parts.items()}
    return found


def part_of(operator: str) -> str:
    """Returns the part of a step that an operator belongs to."""
    return next((part for part, begins in PARTS.items() if operator.startswith(begins)), "other")
