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
import shutil
import socket
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from math import comb
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from environment import hardware, versions
from styles_timed import OVER, TURNS

from gradlens.runlog import Run
from gradlens.tracking import program as programs
from gradlens.tracking.options import DEFAULT_BUDGET, TrackOptions
from gradlens.tracking.runner import run
from gradlens.tracking.session import track
from tests.e2e.frameworks import ACCELERATE, FRAMEWORKS, OFFLINE
from tests.e2e.styles import GROUPS, SCRIPTS, STYLES

DRIVER = Path(__file__).resolve().parent / "styles_timed.py"
# Backward passes of the start at least, as a fraction of all.
START = 0.1
LIMIT = 1.10
# How often a script's data is repeated, at least (in forks, and in processes that start anew) and at most.
FEWEST, FEWEST_ANEW, MOST = 20, 4, 2000
# Processes of a launcher at most, and seconds of a turn, about.
RANKS, TURN = 2, 0.005
# The style whose untracked run is held against itself.
CONTROL = "loop-clip-norm"
# Their training runs in processes that the script starts, out of sight of what takes the times.
STARTS_PROCESSES = "distributed-torch-multiprocessing-spawn"


@dataclass(frozen=True)
class Timed:
    """A style as it is timed.

    Attributes:
        title: What it is, for people.
        program: Script and arguments; how often its data is repeated comes after them.
        options: Options of `gradlens track`.
        launcher: What starts its processes; () for ``python``.
        fork: Whether it may run in a fork of this process, which has imported torch already.
    """

    title: str
    program: tuple[str, ...]
    options: tuple[str, ...]
    launcher: tuple[str, ...] = ()
    fork: bool = True


TIMED = {
    **{
        name: Timed(style.title, (style.script, *style.arguments), style.options, fork=not style.alone)
        for name, style in STYLES.items()
        if not style.instead
    },
    **{
        name: Timed(case.title, (*case.program, "--epochs"), GROUPS, case.launcher, fork=False)
        for name, case in FRAMEWORKS.items()
        if name != STARTS_PROCESSES
    },
}


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


def child(style: Timed, times: int, folder: Path, *, tracked: bool) -> None:
    """Runs the style's script, in the process that this is called in."""
    os.chdir(folder)
    words = [str(DRIVER), str(folder / "stamps.json"), *style.program, str(times)]
    if not style.fork:
        os.environ.update(OFFLINE, OMP_NUM_THREADS="1")
        command = [*(style.launcher or (sys.executable,))]
        if style.launcher == ACCELERATE:  # which does not look for a port of its own: two at once would want the same
            command += ["--main_process_port", str(unused_port())]
        command += ["-m", "gradlens", "track", "--out", "run", *style.options] if tracked else []
        os.execv(command[0], [*command, *words])
    sys.argv = ["gradlens", "track", *words]
    if tracked:
        groups = style.options[1] if style.options else None
        track(TrackOptions(groups=groups, out=Path("run")), words[0], words[1:], is_module=False)
        atexit._run_exitfuncs()
    else:
        run(programs.script(words[0]), words[1:], lambda _: None)


def unused_port() -> int:
    """Returns a port that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def started(style: Timed, times: int, folder: Path, *, tracked: bool, turns: str | None = None) -> int:
    """Starts a style in a fork of this process; returns the fork's id."""
    shutil.copytree(SCRIPTS, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    pid = os.fork()
    if not pid:
        if turns is not None:
            os.environ[TURNS] = turns
        _in_child(style, times, folder, tracked)
    return pid


def _in_child(style: Timed, times: int, folder: Path, tracked: bool) -> None:
    code = 1
    try:
        atexit._clear()
        for stream, name in ((1, "out.txt"), (2, "err.txt")):
            os.dup2(os.open(folder / name, os.O_CREAT | os.O_WRONLY), stream)
        child(style, times, folder, tracked=tracked)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def stamps_of(style: Timed, folder: Path, status: int) -> list[list[float]]:
    """Returns what the driver noted in a run that ended with this status."""
    if code := os.waitstatus_to_exitcode(status):
        raise RuntimeError(f"{style.title} exited with {code}: {(folder / 'err.txt').read_text()[-2000:]}")
    return json.loads((folder / "stamps.json").read_text())


def both(style: Timed, times: int, passes: int, folders: tuple[Path, Path], tracked: tuple[bool, bool]) -> list[Any]:
    """Runs a style twice at the same time, in turns of so many backward passes; returns the stamps of both."""
    # A pipe for each process of each run: whoever reads a byte from his own has the turn.
    names = [str(folder) + ".{rank}" for folder in folders]
    pipes = []
    for name in names:
        for rank in range(RANKS):
            os.mkfifo(name.format(rank=rank))
            pipes.append(os.open(name.format(rank=rank), os.O_RDWR))
    for pipe in pipes[:RANKS]:
        os.write(pipe, b".")
    runs = {}
    for at, folder in enumerate(folders):
        turns = f"{passes} {names[at]} {names[1 - at]}"
        runs[started(style, times, folder, tracked=tracked[at], turns=turns)] = at
    statuses = {}
    while len(statuses) < len(runs):
        pid, status = os.wait()
        statuses[runs[pid]] = status
        for pipe in pipes:  # the other one has all turns now
            os.write(pipe, OVER)
    for pipe in pipes:
        os.close(pipe)
    return [stamps_of(style, folder, statuses[at]) for at, folder in enumerate(folders)]


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
        stamps = both(style, times, passes, folders, (tracked_first, not tracked_first))
        plain, own = reversed(stamps) if tracked_first else stamps
        log = Run(folders[not tracked_first] / "run")
    if len(plain) != len(own):
        raise RuntimeError(f"{style.title}: {len(plain)} backward passes untracked, {len(own)} tracked")
    begun = (int(log.steps[0]) + 1) / max(int(log.meta.extra["steps"]), 1)
    said = log.meta.timings.get("overhead")
    return {**ratios(plain, own, begun), "measured_steps": len(log), "said_overhead": said}


def control(args: argparse.Namespace) -> dict[str, float]:
    """Returns median and interval of the ratio of two untracked runs."""
    times, passes = calibrated(TIMED[CONTROL], args.seconds)
    found = []
    for _ in range(args.rounds):
        with tempfile.TemporaryDirectory() as name:
            folders = (Path(name) / "first", Path(name) / "second")
            found.append(ratios(*both(TIMED[CONTROL], times, passes, folders, (False, False)), 0.0)["ratio"])
    low, high = median_interval(found)
    return {"ratio": median(found), "low": low, "high": high}


def median_interval(values: list[float]) -> tuple[float, float]:
    """Returns the 95 % interval of the median from order statistics; of fewer than six values all of them."""
    n, inside = len(values), sorted(values)
    outside, k = 0.0, 0
    while (outside := outside + comb(n, k) / 2**n) <= 0.025 and k < n // 2:
        k += 1
    rank = max(k - 1, 0)
    return inside[rank], inside[n - 1 - rank]


def decided(ratios: list[float]) -> bool:
    """Says whether the interval of the median lies on one side of the limit."""
    low, high = median_interval(ratios)
    return high <= LIMIT or low > LIMIT


def calibrated(style: Timed, seconds: float) -> tuple[int, int]:
    """Returns how often a script's data is to be repeated for a loop of so many seconds, and the backward passes of a turn."""
    fewest = FEWEST if style.fork else FEWEST_ANEW
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "alone"
        status = os.waitpid(started(style, fewest, folder, tracked=False), 0)[1]
        stamps = stamps_of(style, folder, status)
    # From the middle on: a compiler works in the first passes.
    middle = len(stamps) // 2
    cpu, took = (stamps[-1][clock] - stamps[middle][clock] for clock in (0, 1))
    a_pass = took / (len(stamps) - 1 - middle)
    times = min(max(round(fewest * seconds / (a_pass * len(stamps))), fewest), MOST)
    waits_for_its_own = not style.launcher and cpu < 0.5 * took
    return times, times * len(stamps) if waits_for_its_own else max(round(TURN / a_pass), 1)


def measure(style: Timed, known: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """Returns what tracking costs in one style, from the pairs that are known and as many more as it takes."""
    # What starts anew imports much longer than it trains: fewer and longer loops.
    seconds, rounds, most = args.seconds, args.rounds, args.most_rounds
    if not style.fork:
        seconds, rounds, most = 3 * seconds, rounds // 2, most // 2
    # Pairs without turns are of another kind.
    again = known.get("seconds") == seconds and "passes" in known
    times, passes = (known["times"], known["passes"]) if again else calibrated(style, seconds)
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
