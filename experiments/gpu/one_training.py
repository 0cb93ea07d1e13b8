"""Runs one training of Table 3 and writes a line of JSON after each epoch. Its folder has the name that ``table3.py`` uses."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from gradlens.longtail.methods import find_method
from gradlens.longtail.recipe.settings import parse_assignments
from gradlens.longtail.tasks.loading import load_task
from gradlens.longtail.training.training_run import run_training
from gradlens.longtail.training.watching import Watching

# With about this many measured steps of each phase curves look smooth. Layers are not recorded, to keep the results small.
MEASURED_STEPS = 1000


def main() -> None:
    """Runs the training."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("method")
    arguments.add_argument("imbalance", type=float)
    arguments.add_argument("seed", type=int)
    arguments.add_argument("--dataset", default="cifar100-lt")
    arguments.add_argument("--data", help="folder with the data")
    arguments.add_argument("--device", default="cuda")
    arguments.add_argument("--epochs", type=int, help="epochs of each phase; default: those of the paper")
    arguments.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    arguments.add_argument("--evaluate-every", type=int, default=1)
    arguments.add_argument("--untracked", action="store_true")
    arguments.add_argument("--max-steps", type=int)
    arguments.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    arguments.add_argument("--lines", type=Path, required=True, help="file that takes a line of JSON for each epoch")
    args = arguments.parse_args()

    torch.set_num_threads(1)
    task = load_task(args.dataset, data=args.data, imbalance=args.imbalance, device=args.device)
    changes = parse_assignments(args.set) | ({} if args.epochs is None else {"epochs": args.epochs})
    recipe = find_method(args.method).on(task, changes, "experiment")
    folder = args.runs / f"{args.method}-{task.name}-if{args.imbalance:g}-e{recipe.phases[0].epochs}-s{args.seed}"
    begun = time.time()
    with args.lines.open("a", buffering=1) as lines:

        def line(facts: dict[str, Any]) -> None:
            lines.write(json.dumps({"at": round(time.time() - begun, 1)} | facts) + "\n")

        line(
            {
                "folder": folder.name,
                "epochs": recipe.epochs,
                "images": len(task.train.labels),
                "subset": task.train.digest,
            }
        )
        trained = run_training(
            recipe,
            task,
            folder,
            seed=args.seed,
            device=args.device,
            resume=True,
            watching=None if args.untracked else Watching(layers=False, probe_every=0, per_phase=MEASURED_STEPS),
            evaluate_every=args.evaluate_every,
            max_steps=args.max_steps,
            on_epoch=line,
        )
        line({"result": {key: trained.result[key] for key in ("last", "best", "steps", "seconds_training")}})


if __name__ == "__main__":
    main()
