"""Runs trainings of Table 3 side by side on one GPU, the most important first."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from gpu.children import Child

METHODS = ("ce", "plain", "dual-phase")
PART_BYTES = 14 * 2**20
# What a training of a ResNet-32 takes, with room: on the GPU with its CUDA context, and of the host with torch's libraries.
GPU_BYTES, HOST_BYTES = 2 * 2**30, 4 * 2**30
# Part of the GPU's free memory that the trainings may take. The rest is for what is timed meanwhile: they are stopped then, but
# keep their memory.
GPU_PART = 0.5


def fitting(cores: int, host_bytes: int, gpu_bytes: int | None) -> int:
    """Returns how many trainings fit side by side, at least 1. Each needs a core, and one core is left for the sections.

    Args:
        cores: Cores of the host.
        host_bytes: Free memory of the host.
        gpu_bytes: Free memory of the GPU; None without a GPU.
    """
    rooms = [cores - 1, host_bytes // HOST_BYTES]
    rooms += [] if gpu_bytes is None else [int(GPU_PART * gpu_bytes) // GPU_BYTES]
    return max(1, min(rooms))


def free_memory(device: str) -> tuple[int, int | None]:
    """Returns the free bytes of the host, and of the GPU (None for a CPU)."""
    host = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if not device.startswith("cuda"):
        return host, None
    query = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    index = int(device.partition(":")[2] or 0)
    found = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout.split()
    return host, int(found[index]) * 2**20


def jobs(imbalances: list[float], seeds: list[int]) -> Iterator[tuple[str, float, int]]:
    """Yields (method, imbalance, seed): the first imbalance with every seed, then the others."""
    for imbalance in imbalances:
        for seed in seeds:
            for method in METHODS:
                yield method, imbalance, seed


class SideBySide:
    """Keeps a number of trainings running at once until a deadline."""

    def __init__(
        self,
        folder: Path,
        waiting: list[tuple[str, float, int]],
        at_once: int,
        until: float,
        env: dict[str, str],
        options: list[str],
    ) -> None:
        """Prepares. Nothing is started yet.

        Args:
            folder: Folder for runs, lines and logs.
            waiting: Trainings, the most important first.
            at_once: Number of trainings that run at once.
            until: Deadline, as ``time.monotonic()``.
            env: Environment of the trainings.
            options: Options of ``one_training.py``.
        """
        self._folder, self._waiting, self._at_once, self._until = folder, waiting, at_once, until
        self._env, self._options = env, options
        self._children: list[Child] = []
        self._paused: list[list[float]] = []
        self.held = False

    def keep_going(self) -> bool:
        """Starts waiting trainings if there is room. Returns True if any runs."""
        running = sum(child.running for child in self._children)
        while not self.held and self._waiting and running < self._at_once and time.monotonic() < self._until:
            self._start(*self._waiting.pop(0))
            running += 1
        return running > 0

    def hold(self) -> None:
        """Stops all trainings for a while."""
        self.held = True
        self._paused.append([time.time()])
        for child in self._children:
            if child.running:
                child.hold()

    def go_on(self) -> None:
        """Continues all trainings."""
        self.held = False
        self._paused[-1].append(time.time())
        for child in self._children:
            child.go_on()

    def end(self) -> None:
        """Ends all trainings."""
        self._waiting = []
        running = [child for child in self._children if child.running]
        for child in running:
            child.ask_to_end()
        for child in running:
            child.end()

    def facts(self) -> dict[str, Any]:
        """Returns the lines of each training so far, and when the trainings were stopped."""
        found = {}
        for child in self._children:
            lines = self._folder / f"{child.name}.jsonl"
            # The last line may not be complete.
            whole = lines.read_text().rpartition("\n")[0] if lines.exists() else ""
            rows = [json.loads(line) for line in whole.splitlines()]
            found[child.name] = ({"running": True} if child.running else child.facts()) | {"rows": rows}
        return {"paused": self._paused, "waiting": self._waiting, "trainings": found}

    def pack(self, out: Path, most: int) -> None:
        """Packs the runs, without checkpoints, into archives of limited size.

        Args:
            out: Folder for the archives.
            most: The most archives.
        """
        runs = sorted((self._folder / "runs").glob("*"), key=lambda run: run.stat().st_mtime)
        archives: list[list[Path]] = []
        size = PART_BYTES
        for run in runs:
            files = [path for path in run.rglob("*") if path.is_file() and not path.name.startswith("checkpoint")]
            weight = sum(path.stat().st_size for path in files)
            if size + weight > PART_BYTES:
                archives.append([])
                size = 0
            archives[-1] += files
            size += weight
        for number, files in enumerate(archives[:most], 1):
            with tarfile.open(out / f"runs-{number}.tar.gz", "w:gz") as archive:
                for path in files:
                    archive.add(path, path.relative_to(self._folder / "runs"))

    def _start(self, method: str, imbalance: float, seed: int) -> None:
        name = f"{method}-if{imbalance:g}-s{seed}"
        lines = self._folder / f"{name}.jsonl"
        command = [sys.executable, "-m", "gpu.one_training", method, f"{imbalance:g}", str(seed)]
        # Only the first seed's gradients are measured. The other seeds give the spread of the accuracies.
        command += ["--untracked"] if seed else []
        command += ["--runs", str(self._folder / "runs"), "--lines", str(lines), *self._options]
        log = self._folder / f"{name}.log"
        # ``end`` ends all of them. This later deadline is for a child that does not end then.
        self._children.append(Child(name, command, log, self._until + 10, self._env))


def multi_process_service(folder: Path) -> dict[str, str] | None:
    """Starts NVIDIA's Multi-Process Service, with which kernels of several processes can run at the same time.

    It changes no setting of the GPU.

    Args:
        folder: Folder for its pipe and log.

    Returns:
        The environment variables that its clients need; None if it is not installed or a test client fails.
    """
    if shutil.which("nvidia-cuda-mps-control") is None:
        return None
    pipe = {"CUDA_MPS_PIPE_DIRECTORY": str(folder / "mps"), "CUDA_MPS_LOG_DIRECTORY": str(folder / "mps-log")}
    for path in pipe.values():
        Path(path).mkdir(parents=True, exist_ok=True)
    env = os.environ | pipe
    code = "import torch; x = torch.ones(64, 64, device='cuda'); print(float(x.mm(x).sum()))"
    probe = [sys.executable, "-c", code]
    try:
        subprocess.run(["nvidia-cuda-mps-control", "-d"], env=env, check=True, timeout=10, capture_output=True)
        done = subprocess.run(probe, env=env, check=True, timeout=45, capture_output=True, text=True)
        if done.stdout.strip() == str(64.0**3):
            return pipe
    except (subprocess.SubprocessError, OSError) as error:
        print(f"no multi-process service: {error}", flush=True)
    end_multi_process_service(pipe)
    return None


def end_multi_process_service(pipe: dict[str, str]) -> None:
    """Ends the Multi-Process Service that uses these variables."""
    command = ["nvidia-cuda-mps-control"]
    with suppress(subprocess.SubprocessError, OSError):
        subprocess.run(
            command, input="quit\n", env=os.environ | pipe, text=True, timeout=15, capture_output=True, check=False
        )
