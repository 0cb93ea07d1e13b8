"""What `gradlens track` with its default budget costs in each style of training that its tests know.

    python experiments/bench_styles.py

Each style's script trains over its data again and again for about a second, untracked and tracked, as a process of its own or as
those of its launcher, where the first one is timed. (Where starting takes much longer than that: three seconds and fewer pairs.)
The two take turns of about 5 ms, and while one has its turn the other waits: a machine that is slow for a moment is so for both.
(Where the training itself waits for processes that it starts, which go on during the other's turns, one runs after the other.)
`control` is what two untracked runs differ by. Timed is the training loop from its second tenth on, or from where labels have
been counted, which takes a pass over the data: by then imports, the search for the model and the first measurement are over.
What tracking added before is `start`. Time is that of the process, without waiting while others compute, but that on the clock
where the training itself mostly waits for other processes. Ratios are medians over pairs of runs, with the 95 % interval of the
median (of order statistics, whatever the machine's noise is; of fewer than six pairs from the lowest to the highest). Pairs are
added while the interval holds the limit, up to a number; styles that were measured before on the same machine keep their pairs.
`load` is how many processes wanted the machine's cores. These trainings have the smallest steps there are, of about a
millisecond: what a step that is not measured costs weighs most here.
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

# Backward passes of the start at least, as a fraction of all.
START = 0.1
LIMIT = 1.10
# The style whose untracked run is held against itself.
CONTROL = "loop-clip-norm"


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--styles", nargs="+", default=list(TIMED), choices=list(TIMED), metavar="STYLE")
    parser.add_argument("--seconds", type=float, default=1.0, help="of an untracked training loop, about")
    parser.add_argument("--rounds", type=int, default=6, help="pairs of an untracked and a tracked run at least")
    parser.add_argument("--most-rounds", type=int, default=16, help="pairs at most, while the limit is in the interval")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results" / "bench_styles.json")
    return parser.parse_args(arguments)


def tracked(style: Timed, times: int, folder: Path) -> None:
    """Runs the style's script under `gradlens track`, in the process that this is called in."""
    program = words(style, times, folder)
    if not style.fork:
        start_anew(style, ["-m", "gradlens", "track", "--out", "run", *style.options], program)
    sys.argv = ["gradlens", "track", *program]
    groups = style.options[1] if style.options else None
    track(TrackOptions(groups=groups, out=Path("run")), program[0], program[1:], is_module=False)
    atexit._run_exitfuncs()


def untracked(style: Timed, times: int, folder: Path) -> None:
    """Runs the style's script as it is, in the process that this is called in."""
    program = words(style, times, folder)
    if not style.fork:
        start_anew(style, [], program)
    run(programs.script(program[0]), program[1:], lambda _: None)


def ratios(plain: list[list[float]], own: list[list[float]], begun: float) -> dict[str, float]:
    """Returns what the training loop of one run took over that of another.

    Args:
        plain: Stamps of the run that the other one is held against.
        own: Stamps of the other run.
        begun: Fraction of the loop after which the lens is made and one step measured.
    """
    # What follows from the first measurement is over soon after.
    first = min(2 + int(max(START, begun + 0.02) * len(plain)), len(plain) - 2)
    loops = [[stamps[-1][clock] - stamps[first][clock] for clock in (0, 1)] for stamps in (plain, own)]
    # For other processes: what is lost is time on the clock, of which a budget is a part.
    waits = loops[0][0] < 0.5 * loops[0][1]
    return {
        "ratio": loops[1][waits] / loops[0][waits],
        "wall_ratio": loops[1][1] / loops[0][1],
        "seconds_per_pass": loops[0][0] / (len(plain) - 1 - first),
        "start_seconds": (own[first][0] - own[0][0]) - (plain[first][0] - plain[0][0]),
        "backward_passes": len(plain),
    }


def pair(style: Timed, times: int, passes: int, *, tracked_first: bool) -> dict[str, float]:
    """Runs a style untracked and tracked in turns; returns the two times' ratio and what explains it."""
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
    """Returns median and interval of the ratio of two untracked runs."""
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
    """Returns what tracking costs in one style, from the pairs that are known and as many more as it takes."""
    # What starts anew imports much longer than it trains: fewer and longer loops.
    seconds, rounds, most = args.seconds, args.rounds, args.most_rounds
    if not style.fork:
        seconds, rounds, most = 3 * seconds, rounds // 2, most // 2
    # Pairs without turns are of another kind.
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
    """Measures, prints and writes; styles that are not chosen keep what the file says of them."""
    given = sys.argv[1:] if arguments is None else arguments
    args = parse_arguments(given)
    torch.set_num_threads(1)
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1).step()  # imports what all of them import
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
