"""Measures what measuring costs: a step with the lens beside a plain step, three passes by hand, and other packages.

    python experiments/bench_overhead.py

One run times everything. The methods take steps in turns, round after round, and ratios are medians over rounds, so that a busy
machine slows all alike. On a CPU with one thread time is CPU time, without waiting for other programs. It prints a table and
writes a JSON file with versions and hardware.

- "forward + 2 backward" is a plain step with one more backward pass. In general exact numbers cost at least this, so it is the
  target of "lens, masked".
- The lens measures every step. Steps with the full check (the first, then every 50th; with split also measurements 1, 2, 4, ...
  32) are not timed with the others, but reported separately.
- error: the largest error of an inner product of two groups' gradients against one float64 backward pass for each group, relative
  to the norms of the gradients.
- state: how far weights and buffers are from those of a plain step after the first step (exactly 0 with the lens).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent))
from environment import hardware, versions
from overhead.cases import Case, cases
from overhead.clocked import Timing, now, time_case
from overhead.costs import importing, probing, unmeasured_steps, within_budget, writing
from overhead.methods import OWN, lens
from overhead.peaks import MethodJob, peak_bytes
from overhead.peers import METHODS
from overhead.table import print_result

PACKAGES = ("opacus", "backpack-for-pytorch", "torchjd", "timm")
PLAIN, TWO_BACKWARDS = "plain step", "forward + 2 backward"


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch on a CPU")
    parser.add_argument("--cases", nargs="+", default=list(cases()), choices=list(cases()), metavar="CASE")
    parser.add_argument("--depth", type=int, default=32, help="layers of the ResNets")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=15, help="timed steps of the plain step and the lens")
    parser.add_argument("--heavy-rounds", type=int, default=3, help="timed steps of all other methods")
    parser.add_argument("--small-batch", type=int, default=16, help="rows of the ResNet-8 of the next two")
    parser.add_argument("--pairs", type=int, default=150, help="pairs of a plain and an unmeasured step")
    parser.add_argument("--steps", type=int, default=300, help="steps under a budget of 5 percent")
    parser.add_argument("--images", type=int, default=2000, help="images of the probe of 100 classes")
    parser.add_argument("--imports", type=int, default=3, help="fresh interpreters that import torch and gradlens")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results" / "bench_overhead.json")
    return parser.parse_args(arguments)


def measure_case(key: str, case: Case, args: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Returns what each method costs in a case: name of the method -> results."""
    peaks: dict[str, tuple[int, int] | str] = {}
    for name in METHODS:
        say(f"{case.title}: memory of {name}")
        job = MethodJob(key, name, args.batch, args.depth, args.device, args.threads, args.seed)
        peaks[name] = peak_bytes(job)
    rounds = {name: args.rounds if name in OWN else args.heavy_rounds for name in METHODS}
    timings, steps = time_case(case, METHODS, rounds, args.device, args.seed, say)
    found = {}
    for name, timing in timings.items():
        found[name] = {
            "refusal": timing.refusal,
            "seconds": timing.typical(),
            "time_ratio": timing.ratio(timings[PLAIN]),
            "over_two_backwards": timing.ratio(timings[TWO_BACKWARDS]),
            "error": timing.error,
            "state_change": timing.state_change,
            "warnings": timing.warned,
            "timed_steps": len(timing.seconds),
        } | _memory(peaks[name], peaks[PLAIN])
    for name in ("masked", "split"):
        if f"lens, {name}" in steps:
            say(f"{case.title}: checked steps of {name}")
            found[f"lens, {name}"]["checked_time_ratio"] = _checked(case, name, args, timings[PLAIN])
    return {"title": case.title, "batch": case.batch, "methods": found}


def _memory(peaks: tuple[int, int] | str, base: tuple[int, int] | str) -> dict[str, Any]:
    if isinstance(peaks, str) or isinstance(base, str):
        return {"peak_bytes": None, "peak_ratio": None, "first_step_peak_ratio": None}
    return {
        "peak_bytes": peaks[1],
        "peak_ratio": peaks[1] / base[1],
        "first_step_peak_ratio": peaks[0] / base[0],
    }


def _checked(case: Case, engine: str, args: argparse.Namespace, base: Timing) -> float:
    """Returns the time of the first step of a lens, which has the full check, over that of a typical plain step."""
    seconds = []
    for _ in range(2):
        step = lens(engine)(case.setup(args.device, args.seed))
        begun = now(args.device)
        step()
        seconds.append(now(args.device) - begun)
    return median(seconds) / (base.typical() or float("nan"))


def measure_costs(args: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Returns what the lens costs apart from measured steps."""
    small = cases(args.small_batch, depth=8)["batchnorm"]
    found: dict[str, Any] = {}
    say(f"unmeasured steps of {small.title}")
    found["unmeasured"] = unmeasured_steps(small, args.pairs, args.device, args.seed)
    say(f"{args.steps} steps of {small.title} within a budget")
    found["budget"] = within_budget(small, args.steps, 0.05, args.device, args.seed)
    say("writing")
    found["writing"] = writing(1000, 0)
    found["writing_65_layers"] = writing(1000, 65)
    say("imports")
    found["import"] = importing(args.imports)
    say(f"probe of {args.images} images")
    found["probe"] = probing(args.depth, args.images, args.batch, args.device, args.seed)
    return found


def targets(found: dict[str, dict[str, Any]], costs: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the targets: name, value, limit, and whether the value is within the limit."""
    rows: list[tuple[str, float | None, float]] = []
    for case in found.values():
        methods = case["methods"]
        masked, split = methods["lens, masked"], methods["lens, split"]
        rows += [
            (f"{case['title']}: masked over forward + 2 backward", masked["over_two_backwards"], 1.05),
            (f"{case['title']}: masked, peak memory over plain", masked["peak_ratio"], 1.3),
        ]
        if split["refusal"] is None:
            rows += [
                (f"{case['title']}: split over plain", split["time_ratio"], 1.15),
                (f"{case['title']}: split, peak memory over plain", split["peak_ratio"], 1.3),
            ]
    rows += [
        ("unmeasured steps over plain", costs["unmeasured"]["ratio"], 1.01),
        ("budget=0.05 over plain", costs["budget"]["ratio"], 1.06),
        ("writing a measurement, seconds", costs["writing"]["mean"], 100e-6),
        ("import gradlens after torch, seconds", costs["import"]["gradlens"], 0.3),
        ("probe of 100 classes over forward + backward", costs["probe"]["ratio"], 3.0),
    ]
    return [
        {"name": name, "value": value, "limit": limit, "met": value is not None and value <= limit}
        for name, value, limit in rows
    ]


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints and writes."""
    given = sys.argv[1:] if arguments is None else arguments
    args = parse_arguments(given)
    torch.set_num_threads(args.threads)
    console = Console()
    chosen = {name: case for name, case in cases(args.batch, args.depth).items() if name in args.cases}
    with console.status("starting") as status:
        found = {name: measure_case(name, case, args, status.update) for name, case in chosen.items()}
        costs = measure_costs(args, status.update)
    result = {
        "command": ["python", "experiments/bench_overhead.py", *given],
        "seed": args.seed,
        "settings": {key: value for key, value in vars(args).items() if key != "results"},
        "versions": versions() | {name: importlib.metadata.version(name) for name in PACKAGES},
        "hardware": hardware(args.device),
        "cases": found,
        "costs": costs,
        "targets": targets(found, costs),
    }
    print_result(console, result)
    args.results.parent.mkdir(parents=True, exist_ok=True)
    args.results.write_text(json.dumps(result, indent=1) + "\n")
    console.print(f"written to {args.results}")


if __name__ == "__main__":
    main()
