"""Measures lists of 2,000 runs, beside an earlier build: ``gradlens ls``, and the dashboard's page "Runs".

    git worktree add ../reference 4acb67b
    python experiments/bench_lists.py --reference ../reference

The runs are written by the earlier build, so both builds can read them (removed at the end). The builds take turns, in separate
processes, with the files in the cache. Seconds are CPU time of the whole process, imports included; for the dashboard, of the
page alone. Memory is the largest resident set of the process. The figures are medians of the turns, with the smallest and
the largest.

- "no rows": the first look at runs of a version that keeps no rows beside them. Each run is read, and its row is kept.
- "rows": each later look. The first look at runs that were closed by this version is the same: closing a run keeps its row.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from environment import hardware, versions

HERE = Path(__file__).resolve().parent
SUMMARY = "gradlens-summary.json"


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--reference", type=Path, required=True, help="checkout of the earlier build")
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument(
        "--measured", type=int, nargs="+", default=[500, 5_000, 20_000, 50_000], help="measured steps of the runs"
    )
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--looks", type=int, default=5, help="looks of the dashboard in a turn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="parent of the temporary folder; default: that of the system")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "bench_lists.json")
    return parser.parse_args(arguments)


def environment_of(checkout: Path) -> dict[str, str]:
    """Returns the environment in which one build runs."""
    return {**os.environ, "PYTHONPATH": f"{checkout}{os.pathsep}{checkout / 'app'}", "OMP_NUM_THREADS": "1"}


def script(checkout: Path, *arguments: object) -> str:
    """Runs a script with one build, and returns what it prints."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, env=environment_of(checkout), stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def listed(checkout: Path, folder: Path) -> dict[str, float]:
    """Runs ``gradlens ls`` with one build, and returns its CPU seconds and its memory."""
    return dict(json.loads(script(checkout, HERE / "lists" / "one_listing.py", folder)))


def one_turn(builds: dict[str, Path], folder: Path, warm_up: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Returns the figures of one turn: name -> figures."""
    for kept in folder.glob(f"*/{SUMMARY}"):
        kept.unlink()
    found: dict[str, Any] = {
        "ls, reference": listed(builds["reference"], folder),
        "ls, no rows": listed(builds["now"], folder),
        "ls, rows": listed(builds["now"], folder),
    }
    looks = HERE / "lists" / "dashboard_looks.py"
    for name, checkout in builds.items():
        found[f"dashboard, {name}"] = json.loads(script(checkout, looks, folder, warm_up, args.looks))
    return found


def summary(turns: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Returns the medians of the turns, with the smallest and the largest: name -> figure -> median, least and most."""
    return {
        name: {
            figure: {
                "median": median(values := [turn[name][figure] for turn in turns]), "least": min(values), "most": max(values),
            }
            for figure in figures
        }
        for name, figures in turns[0].items()
    }  # fmt: skip


def targets(found: dict[str, dict[str, dict[str, float]]]) -> list[dict[str, Any]]:
    """Returns the targets: name, value, limit, and whether the value is within the limit."""

    def of(name: str, figure: str) -> float:
        return found[name][figure]["median"]

    before = of("ls, reference", "seconds")
    rows = [
        (
            "first look at runs that this version has closed, over the earlier build",
            of("ls, rows", "seconds") / before,
            0.1,
        ),
        ("first look at runs without rows, over the earlier build", of("ls, no rows", "seconds") / before, 0.1),
        ("first look, MB", of("ls, no rows", "megabytes"), 200),
        ("second look, over the earlier build", of("ls, rows", "seconds") / before, 0.01),
        ("first page of the dashboard, seconds", of("dashboard, now", "first page"), 2.0),
        ("look of the dashboard, seconds", of("dashboard, now", "look, nothing new"), 0.05),
        ("page of the dashboard again, seconds", of("dashboard, now", "page again, nothing new"), 0.05),
    ]
    return [{"name": name, "value": value, "limit": limit, "met": value <= limit} for name, value, limit in rows]


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints and writes."""
    args = parse_arguments(arguments)
    builds = {"reference": args.reference.resolve(), "now": HERE.parent}
    revision = ["git", "-C", str(builds["reference"]), "rev-parse", "HEAD"]
    make = HERE / "lists" / "many_runs.py"
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="gradlens-bench-") as place:
        folder, warm_up = Path(place) / "runs", Path(place) / "few"
        for runs, at in ((args.runs, folder), (3, warm_up)):
            at.mkdir()
            lengths = args.measured if at is folder else [200]
            script(builds["reference"], make, at, runs, args.seed, *lengths)
        turns = []
        for turn in range(args.turns):
            turns.append(one_turn(builds, folder, warm_up, args))
            print(f"turn {turn + 1}: {json.dumps(turns[-1])}", flush=True)
    found = summary(turns)
    result = {
        "command": "python experiments/bench_lists.py --reference REFERENCE",
        "reference": subprocess.run(revision, capture_output=True, text=True, check=True).stdout.strip(),
        "settings": {key: getattr(args, key) for key in ("runs", "measured", "turns", "looks", "seed")},
        "versions": versions(),
        "hardware": hardware("cpu") | {"threads": 1},
        "load_average": os.getloadavg()[0],
        "summary": found,
        "targets": targets(found),
        "turns": turns,
    }
    args.results.write_text(json.dumps(result, indent=1) + "\n")
    for name, figures in found.items():
        for figure, value in figures.items():
            print(f"{name}: {figure}: {value['median']:.3g} ({value['least']:.3g} to {value['most']:.3g})")
    for target in result["targets"]:
        print(
            f"{target['name']}: {target['value']:.3g}, at most {target['limit']}: {'met' if target['met'] else 'missed'}"
        )


if __name__ == "__main__":
    main()
