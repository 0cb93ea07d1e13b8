"""Measures what a step costs under two builds of gradlens: that of this checkout and an earlier one.

    git worktree add ../before 4acb67b
    python experiments/bench_builds.py --base ../before

The script of each style trains three times: untracked, tracked by the earlier build, and tracked by this build. The three run at
the same time and in turns of about 5 ms, so that a noisy machine slows all alike. Three results are given for each style:

`unmeasured`: every 100,000th step is measured. Time counts from the second quarter of the loop on, where no step is measured.
`measured`: every fifth step is measured.
`calls`: the function calls (in Python and others) that tracking adds to a step in the first process. They are always the same.

Time is the CPU time of the first process. Time on the clock depends on what else the machine does. If in a backward pass one of
the three took more than one and a half times as long as the second slowest, the pass was disturbed and is left out. Ratios (this
build over the earlier one) and differences are medians over rounds, with the 95 % interval of the median (the range of all values
if there are fewer than six).
"""

from __future__ import annotations

import argparse
import atexit
import gc
import json
import os
import re
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from itertools import permutations
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent))
from environment import hardware, versions
from in_turns import DRIVER, TIMED, Timed, calibrated, in_turns, median_interval, stamps_of, start_anew, started, words

HERE = Path(__file__).resolve().parents[1]
COUNTER = DRIVER.with_name("styles_counted.py")
RESULTS = Path(__file__).resolve().parent / "results" / "bench_builds.json"
STYLES = (
    "loop-keep-grads",
    "loop-scaler-accumulate",
    "loop-autograd-grad-by-hand",
    "loop-step-in-backward",
    "loop-compile-aot",
    "data-fork",
    "framework-lightning",
    "framework-transformers-vit",
    "framework-timm",
    "distributed-torchrun-ddp",
)
# In each part every N-th step is measured.
CADENCES = {"unmeasured": 100_000, "measured": 5}
# Time counts from this fraction of the loop on. Before it the model is searched for and the first step is measured.
START = 0.25
# A backward pass was disturbed if the slowest run took more than this many times as long as the second slowest.
DISTURBED = 1.5
# How often the data is repeated when calls are counted.
COUNTED = 10


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--base", type=Path, required=True, help="checkout of the earlier build")
    parser.add_argument("--styles", nargs="+", default=list(STYLES), choices=list(TIMED), metavar="STYLE")
    parser.add_argument("--parts", nargs="+", default=list(CADENCES), choices=list(CADENCES), metavar="PART")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of an untracked training loop, about")
    parser.add_argument(
        "--rounds", type=int, default=9, help="runs of all three; half as many if they need new processes"
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args(arguments)


def child(build: Path | None, every: int, driver: Path, style: Timed, times: int, folder: Path) -> None:
    """Runs the script of a style in the current process.

    Args:
        build: Checkout of the build that tracks it; None = untracked.
        every: Every N-th step is measured.
        driver: Script that notes the backward passes.
        style: The style.
        times: How often the data is repeated.
        folder: Folder in which it runs.
    """
    program = words(style, times, folder, driver)
    options = ["track", "--out", "run", "--every", str(every), *style.options]
    if build is not None:
        os.environ["PYTHONPATH"] = str(build)
        sys.path.insert(0, str(build))
    if not style.fork:
        start_anew(style, [] if build is None else ["-m", "gradlens", *options], program)
    sys.argv = program if build is None else ["gradlens", *options, *program]
    if build is None:
        runpy.run_path(program[0], run_name="__main__")
    else:
        runpy.run_module("gradlens", run_name="__main__")
        atexit._run_exitfuncs()  # tracking ends there, and a fork does not run them by itself


def measured_steps(folder: Path) -> int:
    """Returns how many steps a tracked run has measured, from its printed lines."""
    text = (folder / "err.txt").read_text()
    if "no step was measured before the training ended" in text:  # the first was over before labels were found
        return 0
    said = re.search(r"measured\s+([\d,]+)\s+(?:of\s+[\d,]+\s+)?steps?", text)
    if said is None:
        raise RuntimeError(f"{folder}: the end of tracking does not say how many steps were measured")
    return int(said[1].replace(",", ""))


def seconds_of(stamps: Sequence[Sequence[Sequence[float]]]) -> list[float]:
    """Returns for each run the mean CPU seconds from one backward pass to the next. All runs use the same passes.

    Args:
        stamps: For each run, for each backward pass, [CPU, clock] seconds.
    """
    first = int(START * len(stamps[0]))
    took = [[b[0] - a[0] for a, b in zip(run[first:], run[first + 1 :], strict=False)] for run in stamps]
    kept = [each for each in zip(*took, strict=True) if max(each) <= DISTURBED * sorted(each)[-2]]
    return [fmean(run) for run in zip(*kept, strict=True)]


def round_of(style: Timed, every: int, times: int, passes: int, base: Path, order: Sequence[int]) -> dict[str, float]:
    """Runs a style untracked and under both builds in turns. Returns the times of a backward pass in microseconds."""
    children = [partial(child, build, every, DRIVER) for build in (None, base, HERE)]
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / str(at) for at in range(3)]
        found = in_turns(style, times, passes, [folders[at] for at in order], [children[at] for at in order])
        stamps = [run for _, run in sorted(zip(order, found, strict=True))]
        steps = [measured_steps(folder) for folder in folders[1:]]
    # The builds may differ in whether they measure the first step.
    if len({len(run) for run in stamps}) > 1 or abs(steps[0] - steps[1]) > 1:
        raise RuntimeError(f"{style.title}: {[len(run) for run in stamps]} backward passes, {steps} measured steps")
    plain, before, now = (1e6 * seconds for seconds in seconds_of(stamps))
    return {
        "plain": plain,
        "base": before,
        "new": now,
        "measured_steps": float(steps[0]),
        "passes": float(len(found[0])),
    }


def summary(rounds: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Returns medians and intervals of the ratios, and of the microseconds that tracking adds to a backward pass."""
    values = {
        "ratio": [each["new"] / each["base"] for each in rounds],
        "base_over_plain": [each["base"] / each["plain"] for each in rounds],
        "base_added_us": [each["base"] - each["plain"] for each in rounds],
        "new_added_us": [each["new"] - each["plain"] for each in rounds],
        "difference_us": [each["new"] - each["base"] for each in rounds],
    }
    found: dict[str, Any] = {name: [median(each), *median_interval(each)] for name, each in values.items()}
    found = {name: [float(f"{value:.5g}") for value in three] for name, three in found.items()}
    rounded = [{name: float(f"{value:.6g}") for name, value in each.items()} for each in rounds]
    return {"plain_us": median(each["plain"] for each in rounded), **found, "rounds": rounded}


def calls(style: Timed, every: int, base: Path) -> dict[str, float]:
    """Returns the calls that tracking adds to a backward pass under each build: by code of gradlens, and by all code."""
    found = {}
    for name, build in (("plain", None), ("base", base), ("new", HERE)):
        with tempfile.TemporaryDirectory() as folder:
            at = Path(folder) / name
            run = partial(child, build, every, COUNTER)
            noted = stamps_of(style, at, os.waitpid(started(style, COUNTED, at, run), 0)[1])
        half = noted[len(noted) // 2 :]
        own, others, all_of_them = ((b - a) / (len(half) - 1) for a, b in zip(half[0], half[-1], strict=True))
        found[name] = (own + others, all_of_them)
    return {
        "base": found["base"][0],
        "new": found["new"][0],
        "base_in_all": found["base"][1] - found["plain"][1],
        "new_in_all": found["new"][1] - found["plain"][1],
    }


def measure(name: str, args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Returns all results of one style."""
    style, base = TIMED[name], args.base.resolve()
    seconds, rounds = (args.seconds, args.rounds) if style.fork else (2 * args.seconds, (args.rounds + 1) // 2)
    times, passes = calibrated(style, seconds, partial(child, None, 0, DRIVER), by_cpu=True)
    found: dict[str, Any] = {"title": TIMED[name].title, "times": times, "passes_of_a_turn": passes}
    for part in args.parts:
        begun, every = time.perf_counter(), CADENCES[part]
        orders = list(permutations(range(3)))
        found[part] = summary([round_of(style, every, times, passes, base, orders[n % 6]) for n in range(rounds)])
        found[part]["calls"] = {key: float(f"{value:.5g}") for key, value in calls(style, every, base).items()}
        ratio, low, high = found[part]["ratio"]
        console.print(
            f"{name:28} {part:10} {ratio:.4f} ({low:.4f} to {high:.4f}), {found[part]['plain_us']:.0f} us a pass; "
            f"calls {found[part]['calls']}; {time.perf_counter() - begun:.0f} s",
            highlight=False,
            soft_wrap=True,
        )
    return {**found, "load": os.getloadavg()[0]}


def table(result: dict[str, Any]) -> str:
    """Returns the Markdown table."""

    def three(values: Sequence[float], digits: int) -> str:
        value, low, high = (f"{each:.{digits}f}" for each in values)
        return f"{value} ({low} to {high})"

    lines = [
        f"# Steps under two builds: {result['new']} over {result['base']}",
        "",
        "Per backward pass. *Ratio*: whole time under the new build over that under the earlier, median with 95 % interval. "
        "*Added*: microseconds that tracking adds to the untracked pass, earlier and new. *Calls*: of functions by code of "
        "gradlens, earlier and new; they are the same in each run.",
    ]
    for part, every in CADENCES.items():
        lines += ["", f"## {part.capitalize()} (--every {every})", ""]
        lines += ["| style | pass, us | ratio | added, earlier | added, new | calls, earlier | calls, new |"]
        lines += ["|---|---|---|---|---|---|---|"]
        for facts in result["styles"].values():
            if part not in facts:
                continue
            found = facts[part]
            lines.append(
                f"| {facts['title']} | {found['plain_us']:.0f} | {three(found['ratio'], 3)} | {three(found['base_added_us'], 1)} "
                f"| {three(found['new_added_us'], 1)} | {found['calls']['base']:.1f} | {found['calls']['new']:.1f} |"
            )
    return "\n".join(lines) + "\n"


def commit_of(checkout: Path) -> str:
    """Returns the short id of the commit of a checkout."""
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints and writes after each style."""
    args = parse_arguments(arguments)
    torch.set_num_threads(1)
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1).step()  # imports what all the scripts import
    gc.collect()
    gc.freeze()
    console = Console()
    result: dict[str, Any] = {
        "base": commit_of(args.base),
        "new": commit_of(HERE),
        "versions": versions(),
        "hardware": hardware("cpu"),
        "styles": {},
    }
    for name in args.styles:
        result["styles"][name] = measure(name, args, console)
        args.results.parent.mkdir(parents=True, exist_ok=True)
        args.results.write_text(json.dumps(result, indent=1) + "\n")
        args.results.with_suffix(".md").write_text(table(result))


if __name__ == "__main__":
    main()
