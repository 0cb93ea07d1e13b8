"""Tests how gradlens reads damaged runs: damages the folder of a run at random, then reads, lists and reports the run.

    python experiments/mutate_runs.py --mutations 600 --seed 0

Before each mutation the run is listed, so that its row is kept beside it; the row is one of the files that are damaged.
Mutations are made in a child process with a limit of memory and time. A child that dies or hangs is replaced. The script counts
silent wrong numbers (something differs from the sound run and the reader says nothing), uncaught exceptions and hangs, and notes
the most memory. It writes a JSON file.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from damage.mutations import KINDS
from damage.verdict import Truth, verdict
from environment import hardware, versions

from gradlens.analysis.kept_overview import TICK_SECONDS, overviews
from gradlens.groups import ClassGroups
from gradlens.metrics.measurement import Measurement
from gradlens.runlog import Run, RunMeta, RunWriter
from gradlens.runlog.format.kept_summary import FILE as SUMMARY

SECONDS = 60.0
# In this part of the mutations the files get their earlier times, as some programs that copy do.
SET_BACK = 0.5
# Much more memory than a reader needs.
MOST_MEMORY = 16 << 30
LAYERS = ("conv", "fc")
GROUPS = ClassGroups({"head": [0, 1, 2], "tail": [3]}, num_classes=4)
NAMES = ("head", "tail", "rest")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutations", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reports", type=int, default=20, help="one report in N mutations")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results" / "mutate_runs.json")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)  # of a child: folder
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def make_run(path: Path, seed: int) -> None:
    """Writes a finished run of 350 steps that was resumed once, with layers, events and two probes."""
    rng = np.random.default_rng(seed)
    facts = {"layer_names": LAYERS, "class_counts": (50, 40, 30, 10), "seed": seed, "method": "cross-entropy"}
    for start, stop in ((0, 200), (200, 350)):
        writer = RunWriter(path, RunMeta.here(GROUPS.to_json(), git_commit=None, **facts), resume=start > 0)
        for step in range(start, stop):
            writer.append(measurement(rng, step))
            if step % 50 == 0:
                writer.event("phase", step, name=f"phase {step // 100}")
                writer.event("mark", step, text=f"mark {step}")
                writer.event("evaluation", step, overall=float(rng.uniform(50, 90)))
        x = rng.normal(size=(4, 6))
        classes = ClassGroups.per_class(4)
        ones = np.ones(4)
        gram = np.pad(x @ x.T, (0, 1))
        writer.probe(
            stop - 1, None, (*classes.names, "rest"), gram, None, 10 * ones, ones, ones, 0.1, classes.to_json()
        )
        writer.close()


def measurement(rng: np.random.Generator, step: int) -> Measurement:
    """Returns a measurement of random gradients."""
    x = rng.normal(size=(len(LAYERS), len(NAMES), 5))
    layers = x @ x.transpose(0, 2, 1)
    return Measurement(
        step=step, time=1e9 + step, epoch=step // 10, names=NAMES, gram=layers.sum(0), layers=layers.astype(np.float32),
        counts=rng.integers(1, 9, 2).astype(float), loss=rng.uniform(0, 3, 2), correct=np.ones(2), residual=1e-7,
        total_loss=1.0, seconds=0.001,
    )  # fmt: skip


def child(args: argparse.Namespace) -> None:
    """Makes the mutations from number ``first`` on. Prints a line before and after each."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    truth = Truth.of(Run(args.work / "sound"))
    weights = np.array(list(KINDS.values()))
    for index in range(args.first, args.mutations):
        rng = np.random.default_rng([args.seed, index])
        kind = list(KINDS)[int(rng.choice(len(KINDS), p=weights / weights.sum()))]
        print(json.dumps({"begun": index, "kind": kind.__name__}), flush=True)
        shutil.rmtree(args.work / "runs" / "damaged", ignore_errors=True)
        damaged = args.work / "runs" / "damaged"
        shutil.copytree(args.work / "sound", damaged)
        time.sleep(2 * TICK_SECONDS)
        overviews(args.work / "runs")  # keeps the row beside the run: it must not hide what happens now
        if not (damaged / SUMMARY).exists():
            raise SystemExit("no row is kept beside the sound run")
        times = {path: path.stat().st_mtime_ns for path in damaged.iterdir()}
        what = kind(rng, damaged, args.work / "other")
        if rng.random() < SET_BACK:
            for path, changed in times.items():
                if path.is_file():
                    os.utime(path, ns=(changed, changed))
            what += "; the times of the files set back"
        begun = time.monotonic()
        try:
            # With a matching checksum the reader must believe the facts, so they may differ.
            facts = kind.__name__ not in ("wrong_type", "wrong_event")
            found, why = verdict(args.work / "runs", truth, meta=facts, report=index % args.reports == 0)
            if not facts and found == "SILENT" and set(why.split(", ")) <= {"phases", "marks", "evaluations"}:
                found = "same"  # another event, whole and well-formed
        except BaseException as error:
            found, why = (
                "UNCAUGHT",
                traceback.format_exception_only(error)[-1].strip()
                + " "
                + str(traceback.extract_tb(error.__traceback__)[-1]),
            )
        row = {"index": index, "kind": kind.__name__, "what": what, "verdict": found, "why": why}
        seconds, peak = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps({**row, "seconds": round(seconds, 3), "peak_kb": peak}), flush=True)


def rows_of(work: Path, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Returns a row for each mutation. A child that hangs or dies is replaced."""
    rows: list[dict[str, Any]] = []
    while len(rows) < args.mutations:
        command = [
            sys.executable, __file__, "--work", str(work), "--first", str(len(rows)), "--mutations", str(args.mutations),
            "--seed", str(args.seed), "--reports", str(args.reports),
        ]  # fmt: skip
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1)
        assert process.stdout is not None
        begun: dict[str, Any] = {"begun": len(rows), "kind": "start"}
        while True:
            if not select.select([process.stdout], [], [], SECONDS)[0]:
                process.kill()
                rows.append({"index": begun["begun"], "kind": begun["kind"], "verdict": "HANG", "what": "", "why": ""})
                break
            line = process.stdout.readline()
            if not line:
                if len(rows) < args.mutations:
                    row = {"index": begun["begun"], "kind": begun["kind"], "verdict": "DIED", "what": ""}
                    rows.append({**row, "why": str(process.wait())})
                break
            row = json.loads(line)
            if "begun" in row:
                begun = row
            else:
                rows.append(row)
        process.wait()
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Mutates, counts and writes."""
    given = sys.argv[1:] if arguments is None else arguments
    args = parse_arguments(given)
    if args.work is not None:
        child(args)
        return
    with tempfile.TemporaryDirectory(prefix="gradlens-mutate-") as place:
        work = Path(place)
        make_run(work / "sound", 0)
        make_run(work / "other", 1)
        (work / "runs").mkdir()
        shutil.copytree(work / "sound", work / "runs" / "sound")
        rows = rows_of(work, args)
    counts = Counter(row["verdict"] for row in rows)
    kinds = {kind.__name__: dict(Counter(r["verdict"] for r in rows if r["kind"] == kind.__name__)) for kind in KINDS}
    bad = [row for row in rows if row["verdict"].isupper()]
    summary = {
        "mutations": len(rows),
        "silent wrong numbers": counts["SILENT"],
        "uncaught exceptions": counts["UNCAUGHT"] + counts["DIED"],
        "hangs": counts["HANG"],
        "slowest_seconds": max(row.get("seconds", 0.0) for row in rows),
        "peak_mb": max(row.get("peak_kb", 0) for row in rows) // 1024,
    }
    result = {
        "command": ["python", "experiments/mutate_runs.py", *given], "seed": args.seed, "versions": versions(),
        "hardware": hardware("cpu"), "summary": summary, "verdicts": dict(counts), "by_kind": kinds, "bad": bad,
    }  # fmt: skip
    args.results.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({"summary": summary, "by_kind": kinds}, indent=1))
    for row in bad:
        print(row)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
