"""Measures what checksums cost: opening, reading and writing a run of 1,000,000 measured steps, beside an earlier build.

    git worktree add ../reference 4acb67b
    python experiments/bench_reading.py --reference ../reference

Each build writes a run of its own (about 1.8 GB, removed at the end) and reads it. The builds take turns, in separate
processes, with the files in the cache. Seconds are CPU time. The ratio is that of the medians, with the quartiles of the
ratios of the turns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent))
from environment import hardware, versions

HERE = Path(__file__).resolve().parent
# The targets: time to open the run over that of the reference build, and microseconds to write a measured step.
MOST_RATIO = 1.15
MOST_MICROSECONDS = 100.0


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--reference", type=Path, required=True, help="checkout of the earlier build")
    parser.add_argument("--steps", type=int, default=1_000_000, help="measured steps of the run")
    parser.add_argument("--layers", type=int, default=40)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="parent of the temporary folder; default: that of the system")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "bench_reading.json")
    return parser.parse_args(arguments)


def run_build(checkout: Path, *arguments: object) -> dict[str, float]:
    """Runs one build in a separate process and returns the results that it printed."""
    command = [sys.executable, str(HERE / "reading" / "one_build.py"), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def measure(builds: dict[str, Path], folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Returns the bytes of the runs and the times of all turns: build -> task -> a number for each turn."""
    size = {
        name: run_build(at, "make", folder / name, args.steps, args.layers, args.seed) for name, at in builds.items()
    }
    taken: dict[str, dict[str, list[float]]] = {name: {} for name in builds}
    for turn in range(args.turns):
        for name, checkout in builds.items():
            found = run_build(checkout, "read", folder / name)
            found |= run_build(checkout, "write", folder / f"{name}-written-{turn}", args.layers)
            for what, value in found.items():
                taken[name].setdefault(what, []).append(value)
    return {"bytes": {name: found["bytes"] for name, found in size.items()}, "turns": taken}


def summary(turns: dict[str, dict[str, list[float]]]) -> list[dict[str, Any]]:
    """Returns for each task the medians of both builds, and their ratio with the quartiles of the ratios of the turns."""
    rows = []
    for what, now in turns["now"].items():
        before = turns["reference"][what]
        low, _, high = quantiles([a / b for a, b in zip(now, before, strict=True)], n=4)
        rows.append(
            {
                "what": what,
                "unit": "us a step" if what.startswith("append") else "s",
                "reference": median(before),
                "now": median(now),
                "ratio": median(now) / median(before),
                "ratio_quartiles": [low, high],
            }
        )
    return rows


def targets(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the targets: name, value, limit, and whether the value is within the limit."""
    by_name = {row["what"]: row for row in rows}
    held = [(f"{what}: ratio", by_name[what]["ratio"], MOST_RATIO) for what in ("open", "open and a curve")]
    held += [(f"{what}: us a measured step", by_name[what]["now"], MOST_MICROSECONDS) for what in ("append",)]
    return [{"name": name, "value": value, "limit": limit, "met": value <= limit} for name, value, limit in held]


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints and writes."""
    given = sys.argv[1:] if arguments is None else arguments
    args = parse_arguments(given)
    console = Console()
    builds = {"reference": args.reference.resolve(), "now": HERE.parent}
    revision = ["git", "-C", str(builds["reference"]), "rev-parse", "HEAD"]
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="gradlens-bench-") as place:
        found = measure(builds, Path(place), args)
    rows = summary(found["turns"])
    result = {
        "command": "python experiments/bench_reading.py --reference REFERENCE",
        "reference": subprocess.run(revision, capture_output=True, text=True, check=True).stdout.strip(),
        "settings": {"steps": args.steps, "layers": args.layers, "turns": args.turns, "seed": args.seed},
        "versions": versions(),
        "hardware": hardware("cpu") | {"threads": 1},
        "load_average": os.getloadavg()[0],
        "summary": rows,
        "targets": targets(rows),
        **found,
    }
    table = Table("", "", "reference", "now", "ratio", "quartiles", title=f"{args.steps:,} steps, {args.layers} layers")
    for row in rows:
        low, high = row["ratio_quartiles"]
        numbers = (f"{row[key]:.3g}" for key in ("reference", "now", "ratio"))
        table.add_row(row["what"], row["unit"], *numbers, f"{low:.2f} to {high:.2f}")
    console.print(table)
    for target in result["targets"]:
        verdict = "[green]met" if target["met"] else "[red]missed"
        console.print(f"{target['name']}: {target['value']:.3g}, at most {target['limit']}: {verdict}")
    args.results.parent.mkdir(parents=True, exist_ok=True)
    args.results.write_text(json.dumps(result, indent=1) + "\n")
    console.print(f"written to {args.results}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
