"""Trainings of Table 3 side by side on one card, the most wanted first."""

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


def jobs(imbalances: list[float], seeds: list[int]) -> Iterator[tuple[str, float, int]]:
    """Yields (method, imbalance, seed): the first imbalance with every seed, then the others."""
    for imbalance in imbalances:
        for seed in seeds:
            for method in METHODS:
                yield method, imbalance, seed


class SideBySide:
    """Keeps so many trainings running until the time is up."""

    def __init__(
        self,
        folder: Path,
        waiting: list[tuple[str, float, int]],
        at_once: int,
        until: float,
        env: dict[str, str],
        options: list[str],
    ) -> None:
        """Prepares.

        Args:
            folder: Takes runs, lines and logs.
            waiting: Trainings, the most wanted first.
            at_once: How many run side by side.
            until: ``time.monotonic()`` at which what still runs is ended.
            env: Environment of the trainings.
            options: Of ``one_training.py``.
        """
        self._folder, self._waiting, self._at_once, self._until = folder, waiting, at_once, until
        self._env, self._options = env, options
        self._children: list[Child] = []
        self._paused: list[list[float]] = []
        self.held = False

    def keep_going(self) -> bool:
        """Starts what there is room for; returns whether anything runs or waits."""
        running = sum(child.running for child in self._children)
        while not self.held and self._waiting and running < self._at_once and time.monotonic() < self._until:
            self._start(*self._waiting.pop(0))
            running += 1
        return running > 0

    def hold(self) -> None:
        """Stops all for now."""
        self.held = True
        self._paused.append([time.time()])
        for child in self._children:
            if child.running:
                child.hold()

    def go_on(self) -> None:
        """Lets all go on."""
        self.held = False
        self._paused[-1].append(time.time())
        for child in self._children:
            child.go_on()

    def end(self) -> None:
        """Ends what still runs."""
        self._waiting = []
        running = [child for child in self._children if child.running]
        for child in running:
            child.ask_to_end()
        for child in running:
            child.end()

    def facts(self) -> dict[str, Any]:
        """Returns the lines of every training so far."""
        found = {}
        for child in self._children:
            lines = self._folder / f"{child.name}.jsonl"
            # The last line may be half written.
            whole = lines.read_text().rpartition("\n")[0] if lines.exists() else ""
            rows = [json.loads(line) for line in whole.splitlines()]
            found[child.name] = ({"running": True} if child.running else child.facts()) | {"rows": rows}
        return {"paused": self._paused, "waiting": self._waiting, "trainings": found}

    def pack(self, out: Path, most: int) -> None:
        """Packs the runs without their checkpoints into archives that are small enough for the way back."""
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
        # The first seed's gradients are watched; the others are there for the spread of the accuracies.
        command += ["--untracked"] if seed else []
        command += ["--runs", str(self._folder / "runs"), "--lines", str(lines), *self._options]
        log = self._folder / f"{name}.log"
        # Ended together by ``end``; this deadline is for one that does not end then.
        self._children.append(Child(name, command, log, self._until + 10, self._env))


def multi_process_service(folder: Path) -> dict[str, str] | None:
    """Starts NVIDIA's Multi-Process Service as a daemon of our own, which lets kernels of several processes run together.

    No setting of the card changes. Returns the variables that its clients need, or None where there is no such daemon or a
    first client does not get through.
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
    """Ends the daemon."""
    command = ["nvidia-cuda-mps-control"]
    with suppress(subprocess.SubprocessError, OSError):
        subprocess.run(
            command, input="quit\n", env=os.environ | pipe, text=True, timeout=15, capture_output=True, check=False
        )
