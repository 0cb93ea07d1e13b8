"""Measures what a measured step of a small network costs, under this build of gradlens and an earlier one.

    git worktree add ../before 4acb67b
    python experiments/bench_measured_step.py --base ../before

The network (64-64-10, batch 64, one thread) takes a fraction of a millisecond for a step, so nearly all that is added is fixed
cost. Every fifth step is measured, and written to a run. A cycle is five steps. What measuring adds is the time of a cycle with a
lens minus that of a cycle without one, which takes turns with it.

Each build has a process of its own. The two take turns of a few cycles, so that a busy machine slows both alike. Time is the CPU
time of the process. Given are medians over rounds with the 95 % interval of the median (the range of all rounds if there are
fewer than six).
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

from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent))
from bench_builds import commit_of
from environment import hardware, versions
from in_turns import median_interval
from overhead.measured_cycles import ENGINES, GROUPS, STEPS

HERE = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).resolve().parent / "results" / "bench_measured_step.json"
WORKER = Path(__file__).resolve().parent / "overhead" / "measured_cycles.py"
# What this build may add, as a fraction of what the earlier one adds, by the number of groups.
GOALS = {2: 1 / 3, 10: 1 / 4}
# Most trainings on digits of each build.
DIGITS = 3
# Until then, some of the measured steps are checked, which takes longer.
WARM = 55


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--base", type=Path, required=True, help="checkout of the earlier build")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cycles", type=int, default=12, help="cycles of a turn")
    parser.add_argument("--warm", type=int, default=WARM, help="cycles before the first turn")
    parser.add_argument("--digits", type=int, default=10_000, help="steps of the training on digits")
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args(arguments)


class Build:
    """A process that measures with one build."""

    def __init__(self, checkout: Path, folder: str, warm: int) -> None:
        """Starts it.

        Args:
            checkout: Checkout of the build.
            folder: Folder for the runs that it writes.
            warm: Cycles before the first turn.
        """
        environment = os.environ | {"PYTHONPATH": str(checkout.resolve()), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(WORKER), folder, str(warm)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError(f"{checkout} cannot be measured; its message stands above")

    def turn(self, groups: int, engine: str, cycles: int) -> tuple[float, float]:
        """Returns seconds of a plain step, and seconds that a measured step adds, each the median over some cycles."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(groups, engine, cycles, file=self._process.stdin, flush=True)
        seconds = json.loads(self._process.stdout.readline())
        return median(plain for plain, _ in seconds) / STEPS, median(lens - plain for plain, lens in seconds)

    def digits(self, name: str, steps: int) -> int:
        """Trains on the digits of the demo within a budget of 5 %, and returns how many of the steps were measured."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print("digits", name, steps, file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def end(self) -> None:
        """Ends it."""
        self._process.communicate("")


def rounds_of(builds: tuple[Build, Build], groups: int, engine: str, args: argparse.Namespace) -> dict[str, Any]:
    """Returns what both builds add, and the ratio, each as [median, lower, upper]."""
    rounds = []
    for number in range(args.rounds):
        order = (0, 1) if number % 2 == 0 else (1, 0)
        found = {which: builds[which].turn(groups, engine, args.cycles) for which in order}
        rounds.append((found[0], found[1]))
    added = {name: [1e3 * each[which][1] for each in rounds] for which, name in enumerate(("base", "new"))}
    ratios = [new / base for base, new in zip(added["base"], added["new"], strict=True)]
    return {
        "plain_ms": median(1e3 * each[which][0] for each in rounds for which in (0, 1)),
        "added_ms": {name: summary(values) for name, values in added.items()},
        "ratio": summary(ratios),
        "goal": GOALS[groups],
    }


def digits_of(builds: tuple[Build, Build], args: argparse.Namespace) -> dict[str, Any]:
    """Returns how many of the steps both builds measure on the digits within the same budget, and the ratio."""
    found = [
        [build.digits(f"digits{number}", args.digits) for build in builds] for number in range(min(args.rounds, DIGITS))
    ]
    columns = dict(zip(("base", "new"), zip(*found, strict=True), strict=True))
    return {
        "steps": args.digits,
        "measured": {name: summary(list(map(float, values))) for name, values in columns.items()},
        "ratio": summary([new / base for base, new in found]),
    }


def summary(values: list[float]) -> list[float]:
    """Returns the median and its interval."""
    return [median(values), *median_interval(values)]


def table(result: dict[str, Any]) -> str:
    """Returns the results as Markdown."""
    head = f"""# A measured step under two builds: {result["new"][:7]} over {result["base"][:7]}

MLP 64-64-10, batch 64, one thread; every fifth step is measured and written. *Added*: CPU milliseconds that a measured step takes
more than a plain one, earlier and new. *Ratio*: new over earlier, median with 95 % interval.

| groups | engine | plain step, ms | added, earlier | added, new | ratio | goal |
|---|---|---|---|---|---|---|
"""
    lines = []
    for name, each in result["steps"].items():
        groups, engine = name.split()
        base, new = (f"{m:.2f} ({lo:.2f} to {hi:.2f})" for m, lo, hi in (each["added_ms"][b] for b in ("base", "new")))
        ratio, lower, upper = each["ratio"]
        lines.append(
            f"| {groups} | {engine} | {each['plain_ms']:.2f} | {base} | {new} | {ratio:.2f} ({lower:.2f} to {upper:.2f}) | "
            f"{each['goal']:.2f} |"
        )
    digits = result["digits"]
    base, new = (f"{m:.0f} ({lo:.0f} to {hi:.0f})" for m, lo, hi in (digits["measured"][b] for b in ("base", "new")))
    ratio, lower, upper = digits["ratio"]
    tail = f"""
On the digits of `gradlens demo` (MLP 64-64-10, two groups, engine `split`), a budget of 5 % measures {base} of
{digits["steps"]:,} steps with the earlier build and {new} with the new one: {ratio:.2f} times as many ({lower:.2f} to
{upper:.2f}).
"""
    return head + "\n".join(lines) + "\n" + tail


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints and writes."""
    given = sys.argv[1:] if arguments is None else arguments
    args = parse_arguments(given)
    with tempfile.TemporaryDirectory() as base, tempfile.TemporaryDirectory() as new:
        builds = Build(args.base, base, args.warm), Build(HERE, new, args.warm)
        steps = {f"{k} {e}": rounds_of(builds, k, e, args) for k in GROUPS for e in ENGINES}
        digits = digits_of(builds, args)
        for build in builds:
            build.end()
    result = {
        "base": commit_of(args.base),
        "new": commit_of(HERE),
        "versions": versions(),
        "hardware": hardware("cpu"),
        "settings": {"rounds": args.rounds, "cycles": args.cycles, "steps": STEPS},
        "steps": steps,
        "digits": digits,
    }
    Console().print(table(result))
    args.results.parent.mkdir(parents=True, exist_ok=True)
    args.results.write_text(json.dumps(result, indent=1) + "\n")
    args.results.with_suffix(".md").write_text(table(result))


if __name__ == "__main__":
    main()
