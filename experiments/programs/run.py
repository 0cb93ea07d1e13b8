"""Runs other people's training programs, under `gradlens track` and under plain python, and compares both.

    python experiments/programs/run.py --list                   # what to fetch, as shell commands
    python experiments/programs/run.py --source DIR [--some NAME ...]
    python experiments/programs/run.py --source DIR --table my_table.py --results DIR    # your own programs

DIR holds checkouts that a person fetched by hand, each at the commit in ``table.py``. They are not part of this project, and
their code is not changed. Each program runs in copies of its checkout, on one thread, with small made-up data in the format that
it reads. It runs under ``python``, under ``gradlens track --every 1`` and, if its row says so, once more under ``python`` with
brute force. A ``sitecustomize.py`` seeds each process and notes its weights after each optimizer step. The script writes
``experiments/results/programs.json`` and ``PROGRAMS.md``. With --some the rows of other programs stay as they are.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

import torch
from compare import Left, cost, differences, error, rounding
from data import MAKERS
from environment import hardware, versions
from page import page
from program import Program

from gradlens import Run

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results"
TABLE = HERE / "table.py"
PATIENCE = 900  # seconds for one process


def checkout(program: Program, source: Path) -> Path:
    """Returns the folder of a program's checkout.

    Raises:
        SystemExit: The checkout is at another commit, or a file was changed. Missing files are accepted, since some are large.
    """
    folder = source / program.repository.rpartition("/")[2]
    for question, right in (
        (["rev-parse", "HEAD"], program.commit),
        (["diff", "--diff-filter=d", "--name-only", "HEAD"], ""),
    ):
        command = ["git", "-C", str(folder), *question]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        if found != right:
            raise SystemExit(
                f"{folder}: git {' '.join(question)} says {found[:80]!r}; run: git checkout {program.commit}"
            )
    return folder


def left_by(program: Program, source: Path, place: Path, command: list[str], groups: str = "") -> Left:
    """Runs a command in a copy of the checkout and returns what it has left in ``place``.

    Args:
        program: The program.
        source: The checkout.
        place: Folder that is made for it.
        command: Command that starts it.
        groups: JSON with the class ids of each group, if brute force is run too; else "".
    """
    shutil.copytree(source, place / "files", ignore=shutil.ignore_patterns(".git"), symlinks=True)
    folder = place / "files" / program.folder
    for maker, where in program.data:
        MAKERS[maker](folder / where)
    own = dict(program.environment)
    paths = [str(HERE / "witness"), own.get("PYTHONPATH"), os.environ.get("PYTHONPATH")]
    environment = {
        **os.environ,
        **own,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PATH": os.pathsep.join((str(HERE / "witness" / "bin"), os.environ["PATH"])),
        "OMP_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
        "WITNESS_OUT": str(place),
        "WITNESS_STEPS": str(program.interrupted),
        "WITNESS_CPU": "1" if program.cpu else "",
        "WITNESS_GROUPS": groups,
    }
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    texts = [text.replace(str(place / "files"), "") for text in (done.stdout, done.stderr)]
    for name, text in zip(("out.txt", "err.txt"), texts, strict=True):
        (place / name).write_text(text)
    return Left(done.returncode, *texts, place)


def described(program: Program) -> dict[str, Any]:
    """Returns the part of a row that is known before the program runs."""
    remarks = [program.remark] if program.remark else []
    if program.inexact:
        remarks.append(f"no error and rounding: {program.inexact}")
    if program.interrupted:
        remarks.append(f"Ctrl-C after step {program.interrupted}")
    if program.cpu:
        remarks.append("asks for a GPU: `.cuda()` does nothing")
    return {
        "name": program.name,
        "repository": program.repository,
        "commit": program.commit,
        "title": program.title,
        "command": ["python", *program.command],
        "options": list(program.options),
        "remarks": remarks,
    }


def row(program: Program, source: Path, work: Path) -> dict[str, Any]:
    """Runs a program untracked, tracked and, if it says so, with brute force. Returns its row of the table."""
    files = checkout(program, source)
    python = [sys.executable, *program.command]
    run_folder = work / "run"
    track = [sys.executable, "-m", "gradlens", "track", "--every", "1", "--out", str(run_folder), *program.options]
    plain = left_by(program, files, work / "plain", python)
    tracked = left_by(program, files, work / "tracked", [*track, *program.command])
    run = Run(run_folder) if (run_folder / "run.json").exists() else None
    found: dict[str, Any] = {
        **described(program),
        "code": plain.code,
        "steps": len(plain.notes()["digests"]),
        "measured": 0 if run is None else len(run),
        "differences": differences(plain, tracked, program.times),
        "cost": cost(plain, tracked),
        "said": [line.replace(f"{work}{os.sep}", "") for line in tracked.said()],
        "error": None,
        "compared": 0,
    }
    if run is not None:
        found["engine"] = run.meta.engine
        found["residual"] = float(run.residual.max()) if len(run) else None
        found["events"] = [event for event in run.events if event["kind"] in ("internal-error", "warning")]
    if program.exact and run is not None:
        ids = [list(classes) for classes in run.groups.classes]
        forced = left_by(program, files, work / "forced", python, json.dumps(ids))
        truth = torch.load(work / "forced" / "truth.pt")
        found["compared"], found["error"] = error(run, truth)
        found["rounding"] = rounding(truth)
        found["differences"] += [f"with brute force: {d}" for d in differences(plain, forced, program.times)]
    return found


def recipe(programs: tuple[Program, ...]) -> str:
    """Returns the shell commands that fetch all repositories."""
    commits = {program.repository: program.commit for program in programs}
    lines = [
        f"git clone https://github.com/{name} && git -C {name.rpartition('/')[2]} checkout {commit}"
        for name, commit in commits.items()
    ]
    return "\n".join(lines)


def main() -> None:
    """Runs the programs and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="print the commands that fetch the repositories, and end")
    parser.add_argument("--source", type=Path, help="folder of the checkouts")
    parser.add_argument("--some", nargs="+", metavar="NAME", help="run these programs only")
    parser.add_argument(
        "--table", type=Path, default=TABLE, help="Python file with PROGRAMS and PACKAGES as in table.py"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of programs.json and PROGRAMS.md")
    parser.add_argument("--keep", type=Path, help="folder in which what the processes left stays")
    args = parser.parse_args()
    table = runpy.run_path(str(args.table))
    programs: tuple[Program, ...] = table["PROGRAMS"]
    if args.list or args.source is None:
        print(recipe(programs))
        return
    unknown = set(args.some or ()) - {program.name for program in programs}
    if unknown:
        raise SystemExit(f"no program {', '.join(sorted(unknown))} in {args.table}")
    path = args.results / "programs.json"
    rows = {row["name"]: row for row in json.loads(path.read_text())["programs"]} if path.exists() else {}
    chosen = [program for program in programs if not args.some or program.name in args.some]
    for program in chosen:
        with tempfile.TemporaryDirectory() as temporary:
            work = (args.keep or Path(temporary)).resolve() / program.name
            shutil.rmtree(work, ignore_errors=True)
            print(f"{program.name}: ", end="", flush=True)
            found = rows[program.name] = row(program, args.source.resolve(), work)
            facts = ("code", "steps", "measured", "error", "cost", "differences")
            print(", ".join(f"{key} {found[key]}" for key in facts), flush=True)
        kept = [rows[program.name] | described(program) for program in programs if program.name in rows]
        used = {name: importlib.metadata.version(name) for name in table["PACKAGES"]}
        document = {"environment": versions() | used | hardware("cpu") | {"threads": 1}, "programs": kept}
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        (args.results / "PROGRAMS.md").write_text(page(document), encoding="utf-8")


if __name__ == "__main__":
    main()
