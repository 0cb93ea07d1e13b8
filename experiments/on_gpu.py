"""Runs all experiments that need a GPU in a given time: exactness, harmlessness, synchronisations, cost, and Table 3.

    python experiments/on_gpu.py --out results --minutes 12
    python experiments/on_gpu.py --out results --device cpu --small --dataset digits

Each section is a process with a deadline. Every few seconds what they have written so far is collected in ``on_gpu.json``. The
trainings of Table 3 run beside the sections from the start, as many as cores and free memory allow. They are stopped while a
section is timed. The second command tries everything in small, without a GPU and without CIFAR-100.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
GATHER_EVERY = 5.0
ENDING = 12.0  # seconds reserved for packing at the end
ARCHIVES = 5


@dataclass(frozen=True)
class Section:
    """A part of the experiment, which runs in a process.

    Attributes:
        name: Name in the results.
        module: Module of the package ``gpu``.
        arguments: Further arguments of the module.
        seconds: The most seconds that it may take on a GPU.
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    seconds: float


EXACTNESS = [
    Section(f"exactness-{p}", "exactness", ("--precision", p), 90)
    for p in ("float32", "default", "bfloat16", "float16")
]
TIMED = [
    Section("overhead-resnet32", "overhead", ("--network", "resnet32", "--seconds", "0.8"), 60),
    Section("overhead-resnet32-groupnorm", "overhead", ("--network", "resnet32-groupnorm", "--seconds", "0.8"), 60),
    Section("overhead-resnet50", "overhead", ("--network", "resnet50", "--seconds", "0.6"), 75),
    Section("overhead-vit-b-16", "overhead", ("--network", "vit-b-16", "--seconds", "0.6"), 75),
    Section("overhead-gpt", "overhead", ("--network", "gpt", "--seconds", "0.6"), 75),
    Section("rate", "rate", (), 45),
]
BESIDE = [
    Section("synchronisations", "synchronisations", (), 120),
    Section("harmless-default", "harmless", ("--precision", "default"), 240),
    Section("harmless-bfloat16", "harmless", ("--precision", "bfloat16"), 240),
    Section("harmless-float16", "harmless", ("--precision", "float16"), 240),
    Section("tracked", "tracked", (), 300),
]
# The stages run one after another. Each is a list of sections that run at once, and whether the trainings are stopped meanwhile.
STAGES = [(EXACTNESS, False), *(([section], True) for section in TIMED), (BESIDE, False)]


def parse_arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="tiny sections, to try the script out on a CPU")
    parser.add_argument("--sections", nargs="+", help="run only sections whose names begin with one of these")
    parser.add_argument("--dataset", default="cifar100-lt")
    parser.add_argument("--data", help="folder with CIFAR-100 (see gpu/pack_cifar.py)")
    parser.add_argument("--epochs", type=int, help="epochs of each phase; default: the paper's 200")
    parser.add_argument("--imbalances", type=float, nargs="+", default=[100, 50, 200])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--at-once", type=int, help="trainings side by side; default: as many as fit; 0 for none")
    parser.add_argument("--mps", action="store_true", help="let kernels of several trainings run together, if possible")
    return parser.parse_args()


def environment(device: str, *, small: bool) -> dict[str, Any]:
    """Returns the machine, versions and commit, and whether these are numbers of a GPU."""
    sys.path[:0] = [str(ROOT)]
    import torch

    from gradlens.runlog.format.description import git_commit

    facts: dict[str, Any] = {
        "command": [
            "python",
            "experiments/on_gpu.py",
            *(Path(a).name if a.startswith("/") else a for a in sys.argv[1:]),
        ],
        "device": device,
        "small": small,
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cores": os.cpu_count(),
        "commit": git_commit(ROOT),
        "absent": [
            n for n in ("streamlit", "plotly", "rich", "pytest", "accelerate") if importlib.util.find_spec(n) is None
        ],
    }
    if small or not device.startswith("cuda"):
        facts["note"] = "A try in small or without a GPU: its times say nothing about a GPU."
    if device.startswith("cuda"):
        query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.sm", "--format=csv,noheader"]
        try:
            facts["gpu"] = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False).stdout.strip()
        except (OSError, subprocess.SubprocessError) as error:
            facts["gpu"] = f"nvidia-smi: {error}"
        facts["cudnn"] = torch.backends.cudnn.version()
    return facts


class Gatherer:
    """Collects what the sections have written so far in one file."""

    def __init__(self, args: argparse.Namespace, parts: Path, facts: dict[str, Any]) -> None:
        self._path, self._parts, self._facts = args.out / "on_gpu.json", parts, facts
        self.sections: dict[str, dict[str, Any]] = {}
        self.trainings: Any = None
        self._last = 0.0

    def gather(self, *, now: bool = False) -> None:
        """Writes the file, if ``now`` is True or the last time was long enough ago."""
        if not now and time.monotonic() - self._last < GATHER_EVERY:
            return
        self._last = time.monotonic()
        found = {}
        for name, facts in self.sections.items():
            part = self._parts / f"{name}.json"
            found[name] = facts | {"rows": json.loads(part.read_text()) if part.exists() else []}
        whole = self._facts | {"sections": found}
        if self.trainings is not None:
            whole["table3"] = self.trainings.facts()
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(whole, separators=(",", ":")) + "\n")
        os.replace(partial, self._path)


def summary(gatherer: Gatherer, parts: Path) -> str:
    """Returns a text with a line for each section and each training: how it ended and what it found."""
    lines = []
    for name, facts in gatherer.sections.items():
        path = parts / f"{name}.json"
        rows = json.loads(path.read_text()) if path.exists() else []
        failed = [row for row in rows if "failed" in row]
        state = "cut" if facts.get("cut") else f"exit {facts.get('exit')}"
        text = f"{name}: {state}, {facts.get('seconds')} s, {len(rows)} rows, {len(failed)} failed"
        if errors := [row["gram_error"] for row in rows if "gram_error" in row]:
            text += f", largest error {max(errors):.1e}"
        if alike := [row["identical"] for row in rows if "identical" in row]:
            text += f", {sum(alike)} of {len(alike)} identical"
        if waits := [row["more_waits"] for row in rows if "more_waits" in row]:
            text += f", at most {max(waits)} waits more in an unmeasured step"
        if rates := [f"{row['what']} {row['images_per_second']:.0f}" for row in rows if "images_per_second" in row]:
            text += ", images/s: " + ", ".join(rates)
        if ratios := [f"{r.get('groups', '')}{r['what']} {r['ratio']:.2f}" for r in rows if "ratio" in r]:
            text += ", " + ", ".join(ratios)
        lines.append(text)
    if gatherer.trainings is not None:
        for name, facts in gatherer.trainings.facts()["trainings"].items():
            done = [row for row in facts["rows"] if "epoch" in row]
            last = done[-1] if done else {}
            lines.append(f"{name}: epoch {last.get('epoch')}, overall {last.get('overall')}, exit {facts.get('exit')}")
    return "\n".join(lines)


def main() -> None:
    """Runs all sections and the trainings beside them."""
    begun = time.monotonic()
    args = parse_arguments()
    until = begun + 60 * args.minutes - ENDING
    args.out.mkdir(parents=True, exist_ok=True)
    sys.path[:0] = [str(HERE)]
    from gpu.children import Child
    from gpu.side_by_side import (
        SideBySide,
        end_multi_process_service,
        fitting,
        free_memory,
        jobs,
        multi_process_service,
    )

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    paths = os.pathsep.join([str(ROOT), str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        gatherer = Gatherer(args, work, environment(args.device, small=args.small))
        gatherer.gather(now=True)
        service = multi_process_service(work) if args.mps and args.device.startswith("cuda") else None
        at_once = args.at_once if args.at_once is not None else fitting(os.cpu_count() or 1, *free_memory(args.device))
        options = ["--device", args.device, "--dataset", args.dataset]
        options += ["--data", args.data] if args.data else []
        options += ["--epochs", str(args.epochs)] if args.epochs else []
        options += ["--max-steps", "2"] if args.small else ["--evaluate-every", "5"]
        trainings = SideBySide(
            work / "table3", list(jobs(args.imbalances, args.seeds)), at_once, until, env | (service or {}), options
        )
        (work / "table3").mkdir()
        if at_once:
            gatherer.trainings = trainings
        print(f"multi-process service: {bool(service)}, {at_once} trainings at once", flush=True)
        try:
            for stage, timed in STAGES:
                chosen = [s for s in stage if args.sections is None or s.name.startswith(tuple(args.sections))]
                if args.device == "cpu":  # which takes minutes for convolutions in float16
                    chosen = [s for s in chosen if not s.name.endswith("float16")]
                if not chosen or time.monotonic() >= until:
                    continue
                trainings.keep_going()
                if timed:
                    trainings.hold()
                running = []
                for section in chosen:
                    command = [
                        sys.executable,
                        "-m",
                        f"gpu.{section.module}",
                        "--device",
                        args.device,
                        *section.arguments,
                    ]
                    command += ["--out", str(work / f"{section.name}.json"), *(["--small"] if args.small else [])]
                    # The sections' deadlines are those of a GPU.
                    end = until if args.small else min(until, time.monotonic() + section.seconds)
                    running.append(Child(section.name, command, work / f"{section.name}.log", end, env))
                    gatherer.sections[section.name] = {"running": True}
                while [child for child in running if child.running]:
                    trainings.keep_going()
                    gatherer.gather()
                    time.sleep(0.2)
                for child in running:
                    gatherer.sections[child.name] = child.facts()
                    print(f"{time.monotonic() - begun:5.0f} s: {child.name} {child.facts()}", flush=True)
                if timed:
                    trainings.go_on()
            while trainings.keep_going() and time.monotonic() < until:
                gatherer.gather()
                time.sleep(0.5)
        finally:
            trainings.end()
            if service:
                end_multi_process_service(service)
            gatherer.gather(now=True)
        trainings.pack(args.out, ARCHIVES)
        print(summary(gatherer, work))


if __name__ == "__main__":
    main()
