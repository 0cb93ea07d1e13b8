"""Runs one training of Table 3 for the queue: `python one_training.py METHOD IMBALANCE SEED`, with the options of table3.py.

It ends after the epoch in which the process that started it has ended, and goes on from there when it is started again.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from lab import EXPERIMENTS, options
from locks import locked
from wanted import LOCK, Wanted, note, progress, result, wanted

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import METHODS, find_method
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import parse_assignments
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.tasks.loading import load_task
from gradlens.longtail.training.branching import branch_point
from gradlens.longtail.training.checkpoint import FILE, Checkpoint
from gradlens.longtail.training.training_run import run_training
from gradlens.runlog.format.description import git_commit

TAKEN = 75  # exit code: another process trains this
NICE = 10


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = options("table3_full", __doc__.splitlines()[0])
    parser.add_argument("method")
    parser.add_argument("imbalance", type=float)
    parser.add_argument("seed", type=int)
    parser.add_argument("--twin-of", default="", help="train for as many steps as the finished training of this method")
    parser.add_argument("--preset", default="", help="train with the method's own recipe of this name")
    return parser.parse_args(arguments)


def main() -> None:
    """Runs the training, if no other process does."""
    args = parse_arguments()
    queue = os.getppid()
    os.setpriority(os.PRIO_PROCESS, 0, max(NICE, os.getpriority(os.PRIO_PROCESS, 0)))
    torch.set_num_threads(1)
    training = Wanted(args.method, args.imbalance, args.seed, args.twin_of, args.preset)
    folder = args.runs / training.name
    # The queue looks at locks by taking them for a moment.
    with locked(folder / LOCK, patience=2) as free:
        if not free:
            sys.exit(TAKEN)
        task = load_task(args.dataset, data=args.data, imbalance=training.imbalance, device=args.device)
        recipe = recipe_of(training, task, args)
        run_training(
            recipe,
            task,
            folder,
            seed=training.seed,
            device=args.device,
            resume=True,
            start=None if (folder / FILE).exists() else shared_start(training, recipe, task, args),
            watching=None,
            evaluate_every=args.evaluate_every,
            max_steps=args.max_steps,
            on_epoch=noting(training, recipe, args.runs, queue),
        )


def recipe_of(training: Wanted, task: Task, args: argparse.Namespace) -> Recipe:
    """Returns the recipe of a training. That of a twin has as many epochs as the steps of the other training need."""
    changes: dict[str, Any] = parse_assignments(args.set) | ({} if args.epochs is None else {"epochs": args.epochs})
    recipe = find_method(training.method).on(task, changes, "experiment", training.preset or None)
    if training.twin_of:
        steps = min(args.max_steps or math.inf, recipe.phases[0].steps(len(task.train.labels)))
        changes |= {"epochs": math.ceil(result(training.other, args.runs)["steps"] / steps)}
        recipe = find_method(training.method).on(task, changes, f"as many steps as {training.twin_of}")
    return recipe


def shared_start(training: Wanted, recipe: Recipe, task: Task, args: argparse.Namespace) -> Checkpoint | None:
    """Returns the end of the first phases that a finished training has in common with this one; None if there is none."""
    for other in wanted(sorted(METHODS), [training.imbalance], [training.seed], args.dataset):
        if len(recipe.phases) > 1 and other != training and not other.twin_of and result(other, args.runs):
            try:
                start = branch_point(args.runs / other.name, recipe, task, seed=training.seed, max_steps=args.max_steps)
            except LongTailError:  # they have nothing in common
                continue
            print(f"as {other.name} up to the end of phase {recipe.phases[start.phase].name}", flush=True)
            return start
    return None


def noting(training: Wanted, recipe: Recipe, runs: Path, queue: int) -> Callable[[dict[str, Any]], None]:
    """Returns a function that notes the progress after an epoch, and ends the process if the queue has ended.

    Args:
        training: The training.
        recipe: Its recipe.
        runs: Folder of all trainings.
        queue: Id of the process that started this one.
    """
    before = progress(training, runs)
    commits = tuple(dict.fromkeys([*before.get("git_commits", ()), git_commit(EXPERIMENTS) or "unknown"]))
    seconds: list[float] = []

    def on_epoch(row: dict[str, Any]) -> None:
        seconds.append(row["seconds"])
        facts = {
            "epoch": row["epoch"],
            "epochs": recipe.epochs,
            "seconds": median(seconds[-20:]),
            "git_commits": commits,
        }
        note(training, runs, facts)
        print(json.dumps(row), flush=True)
        if os.getppid() != queue:
            sys.exit("the queue has ended, so this ends too; start the queue again to go on")

    return on_epoch


if __name__ == "__main__":
    main()
