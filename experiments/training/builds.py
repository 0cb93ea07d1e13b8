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
BEFORE = "before"
# What this build is asked to do, beside the earlier build as it is. The last way says what the earlier layout would cost.
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


class Build:
    """A process that trains with one build."""

    def __init__(self, checkout: Path, images: Path, threads: int) -> None:
        environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": str(threads)}
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER), str(images), str(threads)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, settings: Mapping[str, Any], *, profile: bool = False) -> Any:
        """Returns the seconds of the steps of a training, or the microseconds of its operators."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"settings": dict(settings), "profile": profile}) + "\n")
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


def timed(before: Build, now: Build, batch: int, depth: int, rounds: int) -> dict[str, list[float]]:
    """Returns the median seconds of a step in each round: of the earlier build, and of this build in each way."""
    common = {"batch": batch, "backbone": f"resnet-{depth}"}
    asked = {BEFORE: (before, common)} | {name: (now, common | own) for name, own in WAYS.items()}
    for build, settings in asked.values():
        build.ask(settings)  # warm-up; compiles
    seconds: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(rounds):
        for name, (build, settings) in asked.items():
            seconds[name].append(median(build.ask(settings)))
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


def profiles(now: Build, batch: int, depth: int) -> dict[str, dict[str, float]]:
    """Returns for each way the part of a step's time that goes into each kind of operator. The parts add up to 1."""
    found = {}
    for name, own in WAYS.items():
        operators = now.ask({"batch": batch, "backbone": f"resnet-{depth}"} | own, profile=True)
        parts = dict.fromkeys(PARTS, 0.0)
        for operator, microseconds in operators.items():
            parts[part_of(operator)] += microseconds
        whole = sum(parts.values())
        found[name] = {part: value / whole for part, value in parts.items()}
    return found


def part_of(operator: str) -> str:
    """Returns the part of a step that an operator belongs to."""
    return next((part for part, begins in PARTS.items() if operator.startswith(begins)), "other")
