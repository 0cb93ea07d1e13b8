"""Measures what watching costs with a budget of 5 %: a watched training beside a plain one, from its first step on.

    python experiments/bench_budget.py

Trainings of 300 steps, whose plain steps take about 0.3, 10 and 300 ms, run in pairs of real processes: a script with
``gradlens track`` and without, and the lab's trainer with a lens and without. The two of a pair take steps in turns, so a busy
machine slows both alike. Time is given twice, of the processor and on the clock.

- loop: all 300 steps, with everything that gradlens does in them: making the lens, the first measured step and its checks.
- later: the same without the first turn, in which the lens is made and the first step is measured.
- measured: what measured steps, and the step after each, take more than the median of the other steps of their own process.
- others: the median of those other steps, over the median step of the plain process.
- fixed: the processor's seconds before and after the loop that the watched process takes more than the plain one.

Two processes that run the same code differ, too: they get other memory. ``--ways control`` runs pairs of plain ones, and shows by
how much. What a watched process takes more must be seen beside that. ``--ways thread`` gives one of two plain processes a
second thread, which sleeps: a process with one thread does without locks and atomic counters, and gradlens starts a thread.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from budget.cases import CASES
from budget.turns import READS, STAMPS, WRITES
from environment import hardware, public_arguments, versions

HERE = Path(__file__).resolve().parent
LIMIT = 1.05
WAYS = ("track", "lab", "control", "thread")


@dataclass(frozen=True)
class Ran:
    """A process that has ended.

    Attributes:
        steps: For each step: seconds of the processor, seconds on the clock, and the last measured step (None: there is none).
        seconds: Seconds of the whole process.
        folder: Folder of its run.
    """

    steps: list[tuple[float, float, int | None]]
    seconds: float
    folder: Path

    @property
    def fixed(self) -> float:
        """The processor's seconds before and after the loop."""
        return self.seconds - sum(used for used, _, _ in self.steps)

    @property
    def measured(self) -> list[int]:
        """The numbers of the measured steps."""
        last = [None, *(step[2] for step in self.steps)]
        return [number for number in range(len(self.steps)) if last[number] != last[number + 1]]


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--pairs", type=int, nargs=3, default=[9, 5, 3], help="pairs of processes of each case")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "bench_budget.json")
    return parser.parse_args(arguments)


def commands(way: str, case: str, steps: int, folder: Path) -> list[list[str]]:
    """Returns the commands of a pair: the plain training and the watched one."""
    if way == "lab":
        lab = [sys.executable, str(HERE / "budget" / "lab.py"), case, str(steps)]
        return [[*lab, str(folder / how / "run"), how] for how in ("plain", "watched")]
    script = [str(HERE / "budget" / "script.py"), case, str(steps)]
    if way in ("control", "thread"):
        return [[sys.executable, *script], [sys.executable, *script, *(["thread"] if way == "thread" else [])]]
    track = ["-m", "gradlens", "track", "--groups", "head=0-2,tail=3-9", "--out", "run"]
    return [[sys.executable, *script], [sys.executable, *track, *script]]


def pair(way: str, case: str, steps: int, folder: Path) -> tuple[Ran, Ran]:
    """Runs a plain and a watched training in turns.

    Raises:
        RuntimeError: One of them failed.
    """
    pipes = [os.pipe(), os.pipe()]
    os.write(pipes[0][1], b"!")  # the plain one begins
    running = []
    for number, command in enumerate(commands(way, case, steps, folder)):
        own = folder / ("plain", "watched")[number]
        own.mkdir(parents=True)
        reads, writes = pipes[number][0], pipes[1 - number][1]
        env = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH", "")]),
            READS: str(reads),
            WRITES: str(writes),
            STAMPS: str(own / "stamps.json"),
        }
        with (own / "log").open("w") as log:
            running.append(
                subprocess.Popen(command, cwd=own, env=env, pass_fds=(reads, writes), stdout=log, stderr=log)
            )
    found: dict[int, Ran] = {}

    def wait(number: int, process: subprocess.Popen[bytes]) -> None:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        own = folder / ("plain", "watched")[number]
        if process.returncode == 0:
            stamps = json.loads((own / "stamps.json").read_text())
            found[number] = Ran([(a, b, last) for a, b, last in stamps], usage.ru_utime + usage.ru_stime, own / "run")
        else:  # the other one must not wait for a turn that never comes
            os.write(pipes[1 - number][1], b"!" * (steps + 1))

    threads = [threading.Thread(target=wait, args=item) for item in enumerate(running)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ends in pipes:
        for end in ends:
            os.close(end)
    if len(found) < 2:
        logs = [(folder / how / "log").read_text()[-1500:] for how in ("plain", "watched")]
        raise RuntimeError(f"{way}, {case}: a training failed\n" + "\n".join(logs))
    return found[0], found[1]


def facts(plain: Ran, watched: Ran, turn: int) -> dict[str, float]:
    """Returns what a pair says: ratios of the loop and of its later part and what that is made of, and the fixed cost.

    Args:
        plain: The plain process.
        watched: The watched one.
        turn: Steps of a turn.
    """
    found: dict[str, float] = {"measured_steps": len(watched.measured)}
    if watched.measured:
        from gradlens.runlog import Run

        found["overhead_said"] = float(Run(watched.folder).meta.timings["overhead"])
    near = {number for measured in watched.measured for number in (measured, measured + 1)}
    for index, kind in enumerate(("cpu", "clock")):
        a, b = ([float(step[index] or 0) for step in ran.steps] for ran in (plain, watched))
        later = range(turn, len(b))
        usual = median(b[number] for number in later if number not in near)
        found[f"plain_ms_{kind}"] = 1000 * sum(a) / len(a)
        found[f"loop_{kind}"] = sum(b) / sum(a)
        found[f"later_{kind}"] = sum(b[turn:]) / sum(a[turn:])
        found[f"measured_{kind}"] = sum(b[number] - usual for number in later if number in near) / len(later) / usual
        found[f"others_{kind}"] = usual / median(a[turn:])
        found[f"first_turn_more_ms_{kind}"] = 1000 * (sum(b[:turn]) - sum(a[:turn]))
    return found | {"fixed_cpu": watched.fixed - plain.fixed}


def middle(pairs: list[dict[str, float]]) -> dict[str, Any]:
    """Returns the median of each number, with the smallest and the largest."""
    return {key: _spread([numbers[key] for numbers in pairs]) for key in pairs[0]}


def _spread(values: list[float]) -> dict[str, Any]:
    return {"median": median(values), "range": [min(values), max(values)]}


def _line(row: dict[str, Any]) -> str:
    texts = [f"{row['way']} {row['case']}:"]
    parts = (
        ("plain_ms_cpu", "plain", " ms"),
        ("loop_cpu", "loop", ""),
        ("later_cpu", "later", ""),
        ("later_clock", "later on the clock", ""),
        ("measured_cpu", "measured", ""),
        ("others_cpu", "others", ""),
        ("first_turn_more_ms_cpu", "first turn +", " ms"),
        ("fixed_cpu", "fixed +", " s"),
        ("measured_steps", "measured steps", ""),
        ("overhead_said", "said", ""),
    )
    for key, name, unit in (part for part in parts if part[0] in row):
        low, high = row[key]["range"]
        texts.append(f"{name} {row[key]['median']:.3f} [{low:.3f}, {high:.3f}]{unit}")
    return "  ".join(texts)


def main(arguments: list[str] | None = None) -> None:
    """Runs all pairs and writes the JSON."""
    given = sys.argv[1:] if arguments is None else arguments
    args = parse_arguments(given)
    rows = []
    for way in args.ways:
        for case, count in zip(CASES, args.pairs, strict=True):
            if case not in args.cases:
                continue
            pairs = []
            for _ in range(count):
                with tempfile.TemporaryDirectory() as folder:
                    pairs.append(facts(*pair(way, case, args.steps, Path(folder)), CASES[case].turn))
            row = {"way": way, "case": case, "steps": args.steps, "pairs": len(pairs)} | middle(pairs)
            rows.append(
                row | {"met": row["later_cpu"]["median"] <= LIMIT, "met_with_start": row["loop_cpu"]["median"] <= LIMIT}
            )
            print(_line(rows[-1]), flush=True)
            args.results.parent.mkdir(parents=True, exist_ok=True)
            result = {
                "command": ["python", "experiments/bench_budget.py", *public_arguments(given)],
                "budget": 0.05,
                "limit": LIMIT,
                "versions": versions(),
                "hardware": hardware("cpu"),
                "rows": rows,
            }
            args.results.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
