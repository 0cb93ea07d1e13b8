"""Shows how dual-phase training removes the distortion, beside balanced and long-tailed training with the same groups.

    python experiments/paper/distortion.py --data ./data

It trains `ce` on a balanced set, and `ce`, `plain` and `dual-phase` on the long-tailed set. It draws the distortion of all in
one figure. It writes the distortion and the groups' shares of the gradient for each phase, with 95 % intervals, and how much
lower the distortion of phase II is than that of each other training.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from lab import MEASURED_STEPS, Lab, markdown, options

from gradlens.analysis.distortion import distortion_difference, distortion_interval
from gradlens.estimation.interval import Interval
from gradlens.estimation.intervals import mean_interval
from gradlens.runlog import Run

TRAININGS = {
    "balanced, ce": ("ce", True),
    "long-tailed, ce": ("ce", False),
    "long-tailed, plain": ("plain", False),
    "dual-phase": ("dual-phase", False),
}


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = options("distortion", __doc__.splitlines()[0])
    parser.add_argument("--imbalance", type=float, help="largest over smallest class; default: that of the data set")
    parser.add_argument(
        "--measured-steps",
        type=int,
        default=MEASURED_STEPS,
        help="measured steps of each training, about, evenly spread",
    )
    parser.add_argument("--trainings", nargs="+", default=list(TRAININGS), choices=list(TRAININGS))
    return parser.parse_args(arguments)


def spans(run: Run) -> dict[str, tuple[int | None, int | None]]:
    """Returns phase -> (start, end) in optimizer steps."""
    return {phase.name: (phase.start, phase.end) for phase in run.phases} or {"all classes": (None, None)}


def averages(run: Run) -> dict[str, Any]:
    """Returns phase -> distortion and mean shares with their intervals."""
    found = {}
    for phase, (start, end) in spans(run).items():
        steps = np.asarray(run.steps)
        rows = (steps >= (start or 0)) & (steps < (np.inf if end is None else end))
        shares = {f"share of {name}": np.nan_to_num(run.share(name)[rows]) for name in run.groups.names}
        found[phase] = {"distortion": asdict(distortion_interval(run, start, end))}
        found[phase] |= {name: asdict(mean_interval(values)) for name, values in shares.items()}
        found[phase] |= {"measured_steps": int(rows.sum())}
    return found


def falls(runs: dict[str, Run]) -> dict[str, Any]:
    """Returns training -> how much lower the distortion of dual-phase's last phase is, with its interval."""
    if "dual-phase" not in runs:
        return {}
    own = runs["dual-phase"]
    last = list(spans(own).values())[-1]
    return {
        name: asdict(distortion_difference(run, own, b_span=last))
        for name, run in runs.items()
        if name != "dual-phase" and len(run)
    }


def table(found: dict[str, Any], fallen: dict[str, Any]) -> str:
    """Returns the Markdown tables."""
    names = next(iter(next(iter(found.values())).values())).keys() - {"measured_steps", "distortion"}
    shares = sorted(names, key=lambda name: not name.endswith("head"))
    rows = [
        [f"{training}, phase {phase}", _shown(row["distortion"]), *(_shown(row[name]) for name in shares)]
        for training, phases in found.items()
        for phase, row in phases.items()
    ]
    text = markdown(["training", "distortion", *shares], rows)
    text += "\nMeans over the measured steps with 95 % intervals. 0 = every group has its share of classes.\n"
    for name, value in fallen.items():
        text += f"\nDistortion of '{name}' less that of phase II: {_shown(value)}\n"
    return text


def _shown(value: dict[str, float]) -> str:
    interval = Interval(**value)
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def main() -> None:
    """Trains what is missing and writes the results. Table and figure show the first seed, the summary has all seeds."""
    args = parse_arguments()
    if args.untracked:
        raise SystemExit("distortion.py: --untracked leaves nothing to show")
    lab = Lab(args)
    by_seed: dict[int, dict[str, tuple[Path, dict[str, Any]]]] = {}
    for seed in args.seeds:
        by_seed[seed] = {
            name: lab.train(
                TRAININGS[name][0], seed, imbalance=args.imbalance, balanced=TRAININGS[name][1],
                measured_steps=args.measured_steps,
            )
            for name in args.trainings
        }  # fmt: skip
    summary: dict[str, Any] = {"imbalance": args.imbalance, "trainings": {}}
    first: tuple[dict[str, Any], dict[str, Any]] | None = None
    for seed, trained in by_seed.items():
        runs = {name: Run(folder) for name, (folder, _) in trained.items()}
        found, fallen = {name: averages(run) for name, run in runs.items()}, falls(runs)
        first = first or (found, fallen)
        summary["trainings"][str(seed)] = {
            "distortion": found,
            "fall": fallen,
            "accuracy": {name: result["last"] for name, (_, result) in trained.items()},
            "engine": {name: [run.meta.engine, run.meta.engine_reason] for name, run in runs.items()},
        }
    assert first is not None
    lab.write(summary, table(*first), _figure(by_seed[args.seeds[0]]))


def _figure(trained: dict[str, tuple[Path, dict[str, Any]]]) -> Any:
    from gradlens.figures import distortion_curves

    return distortion_curves([Run(folder) for folder, _ in trained.values()])


if __name__ == "__main__":
    main()
