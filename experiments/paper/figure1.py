"""Figure 1 of the paper: tracks long-tailed and balanced training on CIFAR-100 and checks the paper's claims.

    python experiments/paper/figure1.py --data ./data --epochs 15

This runs experiments/train_cifar.py twice under `gradlens track`. A finished run is not repeated. It writes into --results:
summary.json (claims with verdicts, accuracies, command, seed, versions, hardware), figure1.png and report.html. Both trainings
have the same number of images. They are measured with the same head and tail: the classes that the paper's rule gives for the
long-tailed counts (head: at least 20 images). With several --seeds there is a pair of trainings for each seed, with its own
verdicts. Picture and report show the first pair.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from environment import hardware, public_arguments, versions

from gradlens import Run, distortion
from gradlens.analysis.figure1_claims import Claim, figure1_claims
from gradlens.figures import figure1
from gradlens.longtail.data.counts import head_size, long_tailed_counts
from gradlens.reports.html import write_report
from gradlens.runlog import RunError

EXPERIMENTS = Path(__file__).resolve().parents[1]
TRAINER = EXPERIMENTS / "train_cifar.py"
# With about this many measured steps all panels look smooth. More would only cost time.
MEASURED_STEPS = 2000


@dataclass(frozen=True)
class Training:
    """One tracked training of the experiment.

    Attributes:
        title: Title in figures and tables.
        run: Folder of its run.
        accuracies: JSON file to which the script writes the accuracies of each epoch.
        command: Command that runs it.
    """

    title: str
    run: Path
    accuracies: Path
    command: tuple[str, ...]


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--data", help="folder with CIFAR-100; default: $GRADLENS_DATA, then ./data")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--imbalance", type=float, default=100)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--every", type=int, help=f"measure every N steps; default: about {MEASURED_STEPS} steps in all"
    )
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--runs", type=Path, default=Path("runs/figure1"), help="folder of the runs")
    parser.add_argument(
        "--results", type=Path, default=EXPERIMENTS / "results" / "figure1", help="folder of what is shown"
    )
    parser.add_argument("--max-steps", type=int, help="most steps of an epoch, for a quick try")
    return parser.parse_args(arguments)


def plan(args: argparse.Namespace, seed: int) -> tuple[Training, Training]:
    """Returns the two trainings of a seed, the long-tailed one first."""
    counts = long_tailed_counts(100, 500, args.imbalance)
    head = head_size(counts)
    steps = -(-int(counts.sum()) // args.batch) * args.epochs
    every = args.every or max(1, steps // MEASURED_STEPS)
    trainings = []
    for kind, title in (("lt", "CIFAR100-LT"), ("balanced", "CIFAR-100, balanced")):
        name = f"{kind}-if{args.imbalance:g}-e{args.epochs}-b{args.batch}-s{seed}"
        accuracies = args.runs / f"{name}-accuracy.json"
        track = ["--groups", f"head=0-{head - 1},tail={head}-99", "--every", str(every), "--engine", args.engine]
        script = [
            *("--imbalance", f"{args.imbalance:g}", "--epochs", str(args.epochs), "--batch", str(args.batch)),
            *("--seed", str(seed), "--device", args.device, "--results", str(accuracies)),
            *(["--balanced"] if kind == "balanced" else []),
            *(["--data", args.data] if args.data else []),
            *(["--max-steps", str(args.max_steps)] if args.max_steps else []),
        ]
        command = (
            *(sys.executable, "-m", "gradlens", "track", *track, "--layers", "--out", str(args.runs / name)),
            *(str(TRAINER), *script),
        )
        trainings.append(Training(title, args.runs / name, accuracies, command))
    return trainings[0], trainings[1]


def is_finished(run: Path) -> bool:
    """Says whether the folder holds a finished run."""
    try:
        return run.is_dir() and Run(run).status.state == "finished"
    except RunError:
        return False


def execute(training: Training) -> None:
    """Runs a training if it is not finished yet. An unfinished run is moved aside first.

    Raises:
        SystemExit: The training failed.
    """
    if is_finished(training.run):
        print(f"{training.title}: already there in {training.run}", flush=True)
        return
    if training.run.exists():
        number = 1
        while (aside := training.run.with_name(f"{training.run.name}.unfinished-{number}")).exists():
            number += 1
        training.run.rename(aside)
        print(f"{training.title}: an unfinished run was moved to {aside}", flush=True)
    training.run.parent.mkdir(parents=True, exist_ok=True)
    print(f"{training.title}: {shlex.join(training.command)}", flush=True)
    code = subprocess.run(training.command, check=False).returncode
    if code:
        raise SystemExit(f"figure1.py: training {training.title} ended with exit code {code}; see its output above")


def describe(training: Training, run: Run) -> dict[str, Any]:
    """Returns the facts about one training for the summary."""
    meta = run.meta
    history = json.loads(training.accuracies.read_text())
    return {
        "title": training.title,
        "command": ["python", *public_arguments(training.command[1:])],
        "images": history["images"],
        "subset_hash": history["subset"],
        "steps": int(run.steps[-1]) + 1,
        "measured_steps": len(run.steps),
        "engine": meta.engine,
        "engine_reason": meta.engine_reason,
        "cadence": meta.cadence,
        "timings": meta.timings,
        "largest_residual": float(run.residual.max()),
        "distortion": float(distortion(run)),
        "accuracy_last": {
            key: value for key, value in history["epochs"][-1].items() if key not in ("epoch", "seconds")
        },
        "epochs": history["epochs"],
    }


def describe_pair(
    seed: int, trainings: tuple[Training, Training], runs: tuple[Run, Run], claims: list[Claim]
) -> dict[str, Any]:
    """Returns the facts about the two trainings of a seed for the summary."""
    return {
        "seed": seed,
        "claims": [dataclasses.asdict(claim) for claim in claims],
        "trainings": [describe(*pair) for pair in zip(trainings, runs, strict=True)],
        "git_commit": runs[0].meta.git_commit,
    }


def claims_text(seed: int, claims: Sequence[Claim]) -> str:
    """Returns the claims of one seed as a Markdown table: statement, measure, effect with its interval, verdict."""
    head = [
        f"Seed {seed}",
        "",
        "| panel | statement | measured by | effect [95 % interval] | verdict |",
        "|---|---|---|---|---|",
    ]
    rows = []
    for claim in claims:
        measure = claim.measure if claim.convention == "both" else f"{claim.measure} (norm: {claim.convention})"
        interval = "" if claim.low is None or claim.high is None else f" [{claim.low:.3g}, {claim.high:.3g}]"
        cells = (claim.panel, claim.statement, measure, f"{claim.effect:.3g}{interval}", claim.verdict)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join((*head, *rows))


def main() -> None:
    """Runs the experiment and writes its results."""
    args = parse_arguments()
    planned = {seed: plan(args, seed) for seed in args.seeds}
    for trainings in planned.values():
        for training in trainings:
            execute(training)
    runs = {seed: (Run(pair[0].run), Run(pair[1].run)) for seed, pair in planned.items()}
    claims = {seed: figure1_claims(*pair) for seed, pair in runs.items()}
    first = runs[args.seeds[0]]
    summary = {
        "command": ["python", "experiments/paper/figure1.py", *public_arguments(sys.argv[1:])],
        "seeds": args.seeds,
        "epochs": args.epochs,
        "imbalance": args.imbalance,
        "groups": first[0].groups.to_json(),
        "pairs": [describe_pair(seed, planned[seed], runs[seed], claims[seed]) for seed in args.seeds],
        "versions": versions(),
        "hardware": hardware(args.device),
    }
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    (args.results / "claims.md").write_text(
        "\n\n".join(claims_text(seed, judged) for seed, judged in claims.items()) + "\n"
    )
    write_report(list(first), args.results / "report.html")
    _write_picture(*first, args.results / "figure1.png")
    for seed, judged in claims.items():
        print(f"seed {seed}", *judged, sep="\n")
    everywhere = sum(all(claim.supported for claim in same) for same in zip(*claims.values(), strict=True))
    print(f"{everywhere} of {len(claims[args.seeds[0]])} statements are supported with every seed")
    print(f"results in {args.results}")


def _write_picture(long_tailed: Run, balanced: Run, path: Path) -> None:
    try:
        figure1(long_tailed, balanced).write_image(path, width=1200, height=900, scale=1.5)
    except (RuntimeError, ValueError) as error:
        # plotly needs Chrome on the machine to draw pictures. Without it the report still has the figure.
        print(f"no picture: {str(error).strip()}", file=sys.stderr)


if __name__ == "__main__":
    main()
