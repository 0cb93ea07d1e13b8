"""What `gradlens track` with its default budget costs in each style of training that its tests know.

    python experiments/bench_styles.py

Each style's script trains over so many times its data, untracked and tracked in turn, as a process of its own. Timed is the
training loop: from the backward pass after the first tenth of them (by then imports, the search for the model, the first
measurement and a pass in which labels are counted are over) to the last one. `start` is what tracking added to that first
tenth. Time is that of the process, without waiting while others compute. Ratios are medians over pairs of neighbouring runs;
`load` is how many processes wanted the machine's cores: with more of them than cores, ratios vary by some percent. These
trainings have the smallest steps there are, of about a millisecond: what a step that is not measured costs weighs most here.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from environment import hardware, versions

from gradlens.runlog import Run
from gradlens.tracking import program as programs
from gradlens.tracking.options import DEFAULT_BUDGET, TrackOptions
from gradlens.tracking.runner import run
from gradlens.tracking.session import track
from tests.e2e.styles import SCRIPTS, STYLES, Style

DRIVER = Path(__file__).resolve().parent / "styles_timed.py"
# Backward passes of the start, as a fraction of all.
START = 0.1
LIMIT = 1.10


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    tracked = [name for name, style in STYLES.items() if not style.instead]
    parser.add_argument("--styles", nargs="+", default=tracked, choices=tracked, metavar="STYLE")
    parser.add_argument("--times", type=int, default=100, help="how often the scripts' data is repeated")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of an untracked and a tracked run")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results" / "bench_styles.json")
    return parser.parse_args(arguments)


def child(style: Style, times: int, folder: Path, *, tracked: bool) -> None:
    """Runs the style's script, in the process that this is called in."""
    os.chdir(folder)
    words = [str(DRIVER), str(folder / "stamps.json"), style.script, *style.arguments, str(times)]
    if style.alone:
        options = ["--out", "run", *style.options]
        started = ["-m", "gradlens", "track", *options] if tracked else []
        os.execv(sys.executable, [sys.executable, *started, *words])
    sys.argv = ["gradlens", "track", *words]
    if tracked:
        groups = style.options[1] if style.options else None
        track(TrackOptions(groups=groups, out=Path("run")), words[0], words[1:], is_module=False)
        atexit._run_exitfuncs()
    else:
        run(programs.script(words[0]), words[1:], lambda _: None)


def timed(style: Style, times: int, *, tracked: bool) -> dict[str, Any]:
    """Runs a style in a fork of this process; returns its stamps, and what the run says if it is tracked."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(SCRIPTS, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        pid = os.fork()
        if not pid:
            _in_child(style, times, folder, tracked)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code:
            raise RuntimeError(f"{style.name} exited with {code}: {(folder / 'err.txt').read_text()[-2000:]}")
        found: dict[str, Any] = {"stamps": json.loads((folder / "stamps.json").read_text())}
        if tracked:
            log = Run(folder / "run")
            found |= {"measured": len(log), "said": log.meta.timings.get("overhead")}
        return found


def _in_child(style: Style, times: int, folder: Path, tracked: bool) -> None:
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


def measure(style: Style, times: int, rounds: int) -> dict[str, Any]:
    """Returns what tracking costs in one style."""
    ratios, walls, starts, steps, plains, counts, said = [], [], [], 0, [], [], []
    for number in range(rounds):
        order = (False, True) if number % 2 == 0 else (True, False)
        both = {tracked: timed(style, times, tracked=tracked) for tracked in order}
        plain, own = both[False]["stamps"], both[True]["stamps"]
        if len(plain) != len(own):
            raise RuntimeError(f"{style.name}: {len(plain)} backward passes untracked, {len(own)} tracked")
        first, steps = max(2, int(START * len(plain))), len(plain)
        loop = [[stamps[-1][clock] - stamps[first][clock] for clock in (0, 1)] for stamps in (plain, own)]
        ratios.append(loop[1][0] / loop[0][0])
        walls.append(loop[1][1] / loop[0][1])
        plains.append(loop[0][0] / (steps - 1 - first))
        starts.append((own[first][0] - own[0][0]) - (plain[first][0] - plain[0][0]))
        counts.append(both[True]["measured"])
        said.append(both[True]["said"])
    return {
        "title": style.title,
        "backward_passes": steps,
        "seconds_per_pass": median(plains),
        "ratio": median(ratios),
        "ratios": ratios,
        "wall_ratio": median(walls),
        "start_seconds": median(starts),
        "measured_steps": median(counts),
        "said_overhead": median(said),
    }


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints and writes; styles that are not chosen keep what the file says of them."""
    given = sys.argv[1:] if arguments is None else arguments
    args = parse_arguments(given)
    torch.set_num_threads(1)
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1).step()  # imports what all of them import
    gc.collect()
    gc.freeze()
    console = Console()
    known = json.loads(args.results.read_text())["styles"] if args.results.exists() else {}
    for name in args.styles:
        begun = time.perf_counter()
        known[name] = measure(STYLES[name], args.times, args.rounds) | {
            "times": args.times,
            "rounds": args.rounds,
            "load": os.getloadavg()[0],
        }
        facts = known[name]
        spread = f"{min(facts['ratios']):.3f} to {max(facts['ratios']):.3f}"
        console.print(
            f"{name:28} {facts['ratio']:.3f} ({spread}), {1e6 * facts['seconds_per_pass']:.0f} us a pass, "
            f"{facts['measured_steps']:.0f} measured, start {facts['start_seconds']:.2f} s; "
            f"{time.perf_counter() - begun:.0f} s",
            highlight=False,
        )
        result = {
            "command": ["python", "experiments/bench_styles.py", *given],
            "budget": DEFAULT_BUDGET,
            "limit": LIMIT,
            "versions": versions(),
            "hardware": hardware("cpu"),
            "median_ratio": median(facts["ratio"] for facts in known.values()),
            "over_limit": sorted(name for name, facts in known.items() if facts["ratio"] > LIMIT),
            "styles": {name: known[name] for name in STYLES if name in known},
        }
        args.results.parent.mkdir(parents=True, exist_ok=True)
        args.results.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
