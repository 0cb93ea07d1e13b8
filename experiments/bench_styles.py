"""Measures what `gradlens track` with its default budget costs in each style of training of the tests.

    python experiments/bench_styles.py

The script of each style repeats its data for about a second, untracked and tracked. Each run is a process of its own, or the
processes of its launcher, of which the first is timed. (If starting takes much longer than a second, it is three seconds and
fewer pairs.) The two runs take turns of about 5 ms. While one has its turn, the other waits, so a slow moment of the machine
slows both.
(If the training itself waits for processes that it starts, these would work during the turns of the other run. Then one run
follows the other.)

- `control`: the ratio of two untracked runs.
- Time counts from the second tenth of the training loop on, or from the point where labels have been counted, which takes a pass
  over the data. By then imports, the search for the model and the first measurement are over. `start` is what tracking added
  before.
- Time is CPU time, without waiting for other programs. If the training mostly waits for other processes, it is time on the clock.
- Ratios are medians over pairs of runs, with the 95 % interval of the median. It comes from order statistics, so it holds for any
  noise of the machine. With fewer than six pairs it is the range of all values.
- Pairs are added while the interval holds the limit, up to a maximum. Styles that were measured before on the same machine keep
  their pairs.
- `load`: how many processes wanted the cores of the machine.

These trainings have very short steps, of about a millisecond. So the cost of an unmeasured step matters most here.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from environment import hardware, versions
from in_turns import TIMED, Timed, calibrated, in_turns, median_interval, start_anew, words

from gradlens.runlog import Run
from gradlens.tracking.launch import program as programs
from gradlens.tracking.launch.runner import run
from gradlens.tracking.launch.session import track
from gradlens.tracking.options import DEFAULT_BUDGET, TrackOptions

# The start has at least this fraction of all backward passes.
START = 0.1
LIMIT = 1.10
# The style of the control: two untracked runs are compared.
CONTROL = "loop-clip-norm"


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--styles", nargs="+", default=list(TIMED), choices=list(TIMED), metavar="STYLE")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of an untracked training loop, about")
    parser.add_argument("--rounds", type=int, default=6, help="fewest pairs of an untracked and a tracked run")
    parser.add_argument("--most-rounds", type=int, default=16, help="most pairs, while the limit is in the interval")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results" / "bench_styles.json")
    return parser.parse_args(arguments)


def tracked(style: Timed, times: int, folder: Path) -> None:
    """Runs the script of a style under `gradlens track` in the current process."""
    program = words(style, times, folder)
    if not style.fork:
        start_anew(style, ["-m", "gradlens", "track", "--out", "run", *style.options], program)
    sys.argv = ["gradlens", "track", *program]
    groups = style.options[1] if style.options else None
    track(TrackOptions(groups=groups, out=Path("run")), program[0], program[1:], is_module=False)
    atexit._run_exitfuncs()


def untracked(style: Timed, times: int, folder: Path) -> None:
    """Runs the script of a style untracked in the current process."""
    program = words(style, times, folder)
    if not style.fork:
        start_anew(style, [], program)
    run(programs.script(program[0]), program[1:], lambda _: None)


def ratios(plain: list[list[float]], own: list[list[float]], begun: float) -> dict[str, float]:
    """Returns how long the training loop of one run took relative to that of another run, and related numbers.

    Args:
        plain: Stamps of the untracked run.
        own: Stamps of the other run.
        begun: Fraction of the loop after which the lens is made and the first step was measured.
    """
    # Two more hundredths of the loop: what the first measurement causes is then over.
    first = min(2 + int(max(START, begun + 0.02) * len(plain)), len(plain) - 2)
    loops = [[stamps[-1][clock] - stamps[first][clock] for clock in (0, 1)] for stamps in (plain, own)]
    # If the training waits for other processes, time on the clock is what is lost. The budget is a part of that time.
    waits = loops[0][0] < 0.5 * loops[0][1]
    return {
        "ratio": loops[1][waits] / loops[0][waits],
        "wall_ratio": loops[1][1] / loops[0][1],
        "seconds_per_pass": loops[0][0] / (len(plain) - 1 - first),
        "start_seconds": (own[first][0] - own[0][0]) - (plain[first][0] - plain[0][0]),
        "backward_passes": len(plain),
    }


def pair(style: Timed, times: int, passes: int, *, tracked_first: bool) -> dict[str, float]:
    """Runs a style untracked and tracked in turns. Returns the ratio of the times, and numbers that explain it."""
    with tempfile.TemporaryDirectory() as name:
        folders = (Path(name) / "first", Path(name) / "second")
        children = (tracked, untracked) if tracked_first else (untracked, tracked)
        stamps = in_turns(style, times, passes, folders, children)
        plain, own = reversed(stamps) if tracked_first else stamps
        log = Run(folders[not tracked_first] / "run")
    if len(plain) != len(own):
        raise RuntimeError(f"{style.title}: {len(plain)} backward passes untracked, {len(own)} tracked")
    begun = (int(log.steps[0]) + 1) / max(int(log.meta.extra["steps"]), 1)
    said = log.meta.timings.get("overhead")
    return {**ratios(plain, own, begun), "measured_steps": len(log), "said_overhead": said}


def control(args: argparse.Namespace) -> dict[str, float]:
    """Returns the median and the interval of the ratio of two untracked runs."""
    times, passes = calibrated(TIMED[CONTROL], args.seconds, untracked)
    found = []
    for _ in range(args.rounds):
        with tempfile.TemporaryDirectory() as name:
            folders = (Path(name) / "first", Path(name) / "second")
            stamps = in_turns(TIMED[CONTROL], times, passes, folders, (untracked, untracked))
            found.append(ratios(*stamps, 0.0)["ratio"])
    low, high = median_interval(found)
    return {"ratio": median(found), "low": low, "high": high}


def decided(ratios: list[float]) -> bool:
    """Says whether the interval of the median lies on one side of the limit."""
    low, high = median_interval(ratios)
    return high <= LIMIT or low > LIMIT


def measure(style: Timed, known: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """Returns what tracking costs in one style.

    It uses the known pairs, and adds pairs until the result is decided or their number is reached.
    """
    # A new process imports much longer than it trains, so there are fewer and longer loops.
    seconds, rounds, most = args.seconds, args.rounds, args.most_rounds
    if not style.fork:
        seconds, rounds, most = 3 * seconds, rounds // 2, most // 2
    # Known pairs without "passes" were not measured in turns, so they are not used.
    again = known.get("seconds") == seconds and "passes" in known
    times, passes = (known["times"], known["passes"]) if again else calibrated(style, seconds, untracked)
    pairs = list(known["pairs"]) if again else []
    while len(pairs) < rounds or (len(pairs) < most and not decided([each["ratio"] for each in pairs])):
        pairs.append(pair(style, times, passes, tracked_first=len(pairs) % 2 == 1))
    low, high = median_interval([each["ratio"] for each in pairs])
    return {
        "title": style.title,
        **{name: median(each[name] for each in pairs) for name in pairs[0]},
        "low": low,
        "high": high,
        "seconds": seconds,
        "times": times,
        "passes": passes,
        "load": os.getloadavg()[0],
        "pairs": [{name: float(f"{value:.4g}") for name, value in each.items()} for each in pairs],
    }


def a_line_each(result: dict[str, Any]) -> str:
    """Returns JSON with a line for each entry of ``result``, and for each style."""
    styles = ",\n".join(f"  {json.dumps(name)}: {json.dumps(facts)}" for name, facts in result["styles"].items())
    entries = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in result.items() if name != "styles"]
    return "{\n " + ",\n ".join([*entries, f'"styles": {{\n{styles}\n }}']) + "\n}\n"


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints and writes. Styles that are not chosen keep their results in the file."""
    given = sys.argv[1:] if arguments is None else arguments
    args = parse_arguments(given)
    torch.set_num_threads(1)
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1).step()  # imports what all the scripts import
    gc.collect()
    gc.freeze()
    console = Console()
    machine = {"versions": versions(), "hardware": hardware("cpu")}
    before = json.loads(args.results.read_text()) if args.results.exists() else {}
    known = before["styles"] if before and machine == {name: before[name] for name in machine} else {}
    same = before["control"] if known else control(args)
    for name in args.styles:
        begun = time.perf_counter()
        known[name] = facts = measure(TIMED[name], known.get(name, {}), args)
        console.print(
            f"{name:28} {facts['ratio']:.3f} ({facts['low']:.3f} to {facts['high']:.3f}), {len(facts['pairs'])} pairs, "
            f"{1e6 * facts['seconds_per_pass']:.0f} us a pass, {facts['measured_steps']:.0f} measured, "
            f"start {facts['start_seconds']:.2f} s; {time.perf_counter() - begun:.0f} s",
            highlight=False,
            soft_wrap=True,
        )
        result = {
            "command": ["python", "experiments/bench_styles.py", *given],
            "budget": DEFAULT_BUDGET,
            "limit": LIMIT,
            **machine,
            "control": same,
            "median_ratio": median(facts["ratio"] for facts in known.values()),
            "median_over_limit": sorted(name for name, facts in known.items() if facts["ratio"] > LIMIT),
            "interval_over_limit": sorted(name for name, facts in known.items() if facts["low"] > LIMIT),
            "styles": {name: known[name] for name in TIMED if name in known},
        }
        args.results.parent.mkdir(parents=True, exist_ok=True)
        args.results.write_text(a_line_each(result))


if __name__ == "__main__":
    main()
