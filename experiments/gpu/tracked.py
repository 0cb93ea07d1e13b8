"""Tests ``gradlens track`` on the GPU: a tracked process must have the same exit code, output and weights as a plain one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu.record import Record, parser

ROOT = Path(__file__).resolve().parents[2]
TRAIN = ROOT / "experiments" / "gpu" / "scripts" / "train.py"
LOOPS = ROOT / "tests" / "e2e" / "scripts" / "loops.py"
STYLES = (
    "float32", "bfloat16", "float16", "accumulate", "clip", "channels-last", "fused", "workers",
    "compile", "compile-cudagraphs", "graphed", "capturable", "accelerate",
)  # fmt: skip
SMALL = ("float32", "bfloat16", "clip")
PATIENCE = 200


def ran(command: list[str], folder: Path) -> dict[str, Any]:
    """Runs a program in a new folder and returns its exit code, output, messages and seconds."""
    folder.mkdir(parents=True)
    # Each process has its own cache of compiled kernels, so that no process uses kernels that another has compiled.
    env = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
    }
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
    lines = done.stderr.splitlines()
    return {
        "code": done.returncode,
        "out": done.stdout,
        "said": [line for line in lines if line.startswith("gradlens: ")],
        "error": "\n".join(line for line in lines if not line.startswith("gradlens: "))[-600:],
        "seconds": round(time.perf_counter() - begun, 1),
    }


def state(folder: Path) -> dict[str, Any]:
    """Returns the tensors that the program saved."""
    stored = torch.load(folder / "model.pt", map_location="cpu", weights_only=True)
    return stored["model"] | {"random": stored["random"]} if "model" in stored else dict(stored)


def compared(name: str, program: list[str], folder: Path) -> dict[str, Any]:
    """Runs a program twice without tracking and once tracked, and returns how they differ."""
    python = [sys.executable]
    track = [*python, "-m", "gradlens", "track", "--groups", "head=0-2,tail=3-5", "--every", "2", "--out", "run"]
    if name.startswith("loops "):
        track[5] = "head=0-1,tail=2-3"
    commands = {"plain": [*python, *program], "again": [*python, *program], "tracked": [*track, *program]}
    with ThreadPoolExecutor(3) as pool:
        waiting = {key: pool.submit(ran, command, folder / key) for key, command in commands.items()}
    found = {key: result.result() for key, result in waiting.items()}
    plain, tracked = found["plain"], found["tracked"]
    facts = {
        "code": plain["code"],
        "same_code": tracked["code"] == plain["code"],
        "same_output": tracked["out"] == plain["out"],
        "said": tracked["said"][:8],
        "error": tracked["error"] if tracked["code"] else "",
        "plain_error": plain["error"] if plain["code"] else "",
        "seconds": [plain["seconds"], tracked["seconds"]],
    }
    if plain["code"] == 0 and tracked["code"] == 0:
        states = {key: state(folder / key) for key in commands}
        for key in ("again", "tracked"):
            differs = [k for k, v in states["plain"].items() if not torch.equal(v, states[key][k])]
            facts["control_differs" if key == "again" else "differs"] = differs[:5]
    return facts | run_facts(folder / "tracked" / "run")


def run_facts(folder: Path) -> dict[str, Any]:
    """Returns facts about the run: measured steps, engine and largest residual."""
    from gradlens.runlog import Run, RunError

    try:
        run = Run(folder)
        residual = np.asarray(run.residual, dtype=float)
        known = residual[np.isfinite(residual)]
        largest = float(known.max()) if len(known) else None
        return {"measured_steps": len(run.steps), "engine": run.meta.engine, "residual": largest}
    except (RunError, OSError) as error:
        return {"measured_steps": 0, "run": str(error)[:200]}


def main() -> None:
    """Runs all styles, a few at a time."""
    arguments = parser(__doc__)
    arguments.add_argument("--at-once", type=int, default=3)
    args = arguments.parse_args()
    record = Record(args.out)
    programs = {style: [str(TRAIN), style, args.device] for style in (SMALL if args.small else STYLES)}
    if not args.small:
        programs |= {f"loops {style}": [str(LOOPS), style] for style in ("half", "eager")}
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(args.at_once) as pool:
        waiting = {
            style: pool.submit(compared, style, program, Path(folder) / style.replace(" ", "-"))
            for style, program in programs.items()
        }
        for style, result in waiting.items():
            record.attempt({"style": style}, result.result)


if __name__ == "__main__":
    main()
