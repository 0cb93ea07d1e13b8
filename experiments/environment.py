"""The versions and the hardware that computed the numbers of an experiment, for its JSON file."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

PROJECT = Path(__file__).resolve().parents[1]


def hardware(device: str) -> dict[str, Any]:
    """Returns processor, cores, GPU and threads."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor()
    gpu = torch.cuda.get_device_name() if device.startswith("cuda") else None
    return {"cpu": cpu, "cores": os.cpu_count(), "gpu": gpu, "threads": torch.get_num_threads()}


def versions() -> dict[str, str]:
    """Returns the versions of Python and the packages that compute."""
    names = ("torch", "numpy", "pyarrow", "gradlens-torch")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in names}


def public_arguments(arguments: Sequence[str]) -> list[str]:
    """Returns arguments as they are recorded: without folders of this machine.

    Files of the project are named from its folder. Of other absolute paths the last part stays.
    """
    kept = []
    for before, argument in zip(("", *arguments), arguments, strict=False):
        path = Path(argument)
        if before in ("--data", "--runs", "--results", "--base"):
            kept.append(before[2:].upper())
        elif path.is_relative_to(PROJECT):
            kept.append(str(path.relative_to(PROJECT)))
        else:
            kept.append(path.name if path.is_absolute() else argument)
    return kept
