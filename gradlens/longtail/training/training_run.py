"""Runs a whole training of the lab: measures it, and writes run, checkpoint and result into one folder."""

from __future__ import annotations

import json
import math
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gradlens.longtail.recipe.processes import Processes
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.training.best_epoch import OTHERS
from gradlens.longtail.training.checkpoint import FILE as CHECKPOINT
from gradlens.longtail.training.checkpoint import Checkpoint, CheckpointError, require_same
from gradlens.longtail.training.combined_direction import GROUPS, described
from gradlens.longtail.training.evaluation import NUMBERS
from gradlens.longtail.training.fit import Fitted, fit, training_identity
from gradlens.longtail.training.watcher import Unwatched, Watcher
from gradlens.longtail.training.watching import Watching
from gradlens.runlog import RunError, RunExistsError
from gradlens.runlog.format.description import FILE as RUN
from gradlens.runlog.format.description import replace_file

RESULT = "result.json"


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Attributes:
        folder: The run's folder.
        fitted: Network and history; None if the folder already had the result.
        result: Content of ``result.json`` in the folder.
    """

    folder: Path
    fitted: Fitted | None
    result: dict[str, Any]


def run_training(
    recipe: Recipe,
    task: Task,
    folder: Path | str,
    *,
    seed: int = 0,
    device: str = "cpu",
    resume: bool = False,
    start: Checkpoint | None = None,
    watching: Watching | None,
    evaluate_every: int = 1,
    max_steps: int | None = None,
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
) -> Trained:
    """Trains with a lens, and writes run, checkpoint and result into one folder.

    If several processes train, all must call this with the same arguments and the same folder.

    Args:
        recipe: The recipe.
        task: The task.
        folder: A new folder, or one to resume.
        seed: See ``fit``.
        device: See ``fit``.
        resume: True to continue the training in the folder. If it has a result, that is returned at once.
        start: See ``fit``. The run then only holds what follows.
        watching: How often and how closely to measure; None = train without a lens.
        evaluate_every: See ``fit``.
        max_steps: See ``fit``.
        on_epoch: See ``fit``.

    Raises:
        RunExistsError: The folder is not empty, and ``resume`` is False.
        CheckpointError: The folder's checkpoint or result cannot be used, or belongs to another training.
        DivergedError: See ``fit``. The status of the run is then "failed".
    """
    path = Path(folder)
    if resume and (path / RESULT).is_file():
        return Trained(path, None, _finished(path / RESULT, training_identity(recipe, task, seed, max_steps)))
    extra: dict[str, Any] = {"source": task.source}
    if start is not None:
        extra["branched_after_phase"] = recipe.phases[start.phase].name
    if recipe.approximate:
        extra["approximate"] = recipe.approximate
    if recipe.preset:
        extra["preset"] = recipe.preset
    combiners = [phase.combine for phase in recipe.phases if phase.combine is not None]
    if combiners:
        extra[GROUPS] = described(combiners[0].groups)
    if task.held_out is not None:
        extra["validation"] = task.held_out.to_json()
    watcher = _watcher(recipe, task, path, watching, seed, resume, extra)
    try:
        fitted = fit(
            recipe,
            task,
            seed=seed,
            device=device,
            folder=path,
            resume=resume,
            start=start,
            watcher=watcher,
            evaluate_every=evaluate_every,
            max_steps=max_steps,
            on_epoch=on_epoch,
        )
    except KeyboardInterrupt:
        watcher.close("interrupted", f"{signal.Signals.SIGINT.name}; --resume goes on from {CHECKPOINT}")
        raise
    except BaseException as error:
        watcher.close("failed", f"{type(error).__name__}: {error}")
        raise
    others = {split: numbers for split, numbers in fitted.final.items() if split != fitted.split}
    further = {OTHERS: others, f"best_{OTHERS}": fitted.best.get(OTHERS, {})} if others else {}
    numbers = fitted.final[fitted.split]
    watcher.event("result", best_epoch=fitted.best["epoch"], chosen_on=fitted.split, **numbers, **further)
    watcher.close()
    result = describe(recipe, task, fitted, seed, device, max_steps)
    if fitted.learner.processes.rank == 0:
        replace_file(path / RESULT, (json.dumps(result, indent=1) + "\n").encode())
    return Trained(path, fitted, result)


def _finished(path: Path, identity: dict[str, Any]) -> dict[str, Any]:
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        there = result["identity"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is not a result of this version of gradlens; delete it to train on") from error
    require_same(path, there, identity)
    return dict(result)


def _watcher(
    recipe: Recipe,
    task: Task,
    folder: Path,
    watching: Watching | None,
    seed: int,
    resume: bool,
    extra: dict[str, Any],
) -> Watcher:
    if Processes.here().rank == 0:
        _make(folder, resume)
    if watching is not None:
        from gradlens.longtail.training.lens_watcher import LensWatcher

        if resume and (folder / CHECKPOINT).exists() and not (folder / RUN).exists():
            raise RunError(f"{folder} was trained without the lens so far; resume it with --untracked")
        facts = {"command": (sys.executable, *sys.argv), "extra": extra}
        return LensWatcher(recipe, task, folder, watching, seed=seed, resume=resume, facts=facts)
    return Unwatched()


def _make(folder: Path, resume: bool) -> None:
    """Makes the folder of a training.

    Raises:
        RunExistsError: It is not empty, and ``resume`` is False.
        RunError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = not resume and any(folder.iterdir())
    except OSError as error:
        raise RunError(f"cannot make the folder {folder}: {error.strerror}; choose another with --out") from error
    if taken:
        raise RunExistsError(
            f"{folder} already exists and holds something; choose another with --out, or go on with --resume"
        )


def describe(
    recipe: Recipe, task: Task, fitted: Fitted, seed: int, device: str, max_steps: int | None = None
) -> dict[str, Any]:
    """Returns the content of ``result.json``: settings with sources, and the numbers of the last and of the best epoch.

    "best" names the split on which the epoch was chosen. Its "other_splits" are the numbers of this epoch on the other splits,
    which had no part in the choice. "per_class" is that of the last epoch; null for a class without images.
    """
    best = fitted.best
    held_out = {} if task.held_out is None else {"validation": task.held_out.to_json()}
    chosen = [{"phase": row["phase"], **row["chosen"]} for row in fitted.history if "chosen" in row]
    return {
        "method": recipe.method,
        **({"preset": recipe.preset} if recipe.preset else {}),
        "dataset": task.name,
        "subset": task.train.digest,
        "seed": seed,
        "identity": training_identity(recipe, task, seed, max_steps),
        "device": device,
        "processes": fitted.learner.processes.size,
        "images": len(task.train.labels),
        **held_out,
        "phases": [{"name": phase.name, "epochs": phase.epochs} for phase in recipe.phases],
        "steps": fitted.steps,
        "seconds_training": sum(row.get("seconds", 0.0) for row in fitted.history),
        "settings": recipe.settings.to_json(),
        **({"chosen": chosen} if chosen else {}),
        "last": fitted.final,
        "best": {
            "split": fitted.split,
            "epoch": best["epoch"],
            **{name: best[name] for name in (*NUMBERS, OTHERS) if name in best},
        },
        "per_class": {
            split: [None if math.isnan(value) else value for value in found]
            for split, found in fitted.per_class.items()
        },
        "classes": {
            "names": list(task.train.class_names),
            "training_images": torch.bincount(task.train.labels, minlength=task.num_classes).tolist(),
        },
        "history": fitted.history,
    }
