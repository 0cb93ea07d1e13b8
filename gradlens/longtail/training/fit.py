"""``fit``: the training loop, which runs the phases of any recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gradlens.guards.cudnn_settings import cudnn_settings
from gradlens.longtail.recipe.learner import Learner
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.training.best_epoch import OTHERS, best_row, evaluated, keep_if_best, numbers_of_epoch
from gradlens.longtail.training.checkpoint import FILE, Checkpoint, load_checkpoint, phase_file, save_checkpoint
from gradlens.longtail.training.divergence import DivergedError, check_parameters, way_out
from gradlens.longtail.training.entering import enter, start_learner
from gradlens.longtail.training.epoch import train_epoch
from gradlens.longtail.training.tune import tune
from gradlens.longtail.training.watcher import Unwatched, Watcher


@dataclass(frozen=True)
class Fitted:
    """The result of a training.

    Attributes:
        learner: The trained network and the rest of the state.
        history: A row for each epoch: epoch (counted from 1 through all phases), phase, loss, seconds and, if it was
            evaluated, the numbers on ``split`` (see ``SplitEvaluation``). An epoch that was the best so far also has
            ``other_splits``: the numbers on every other split. A phase without epochs has a row too: number of epochs before
            it, phase and numbers, and as ``chosen`` the setting that was chosen in it (see ``tune``).
        split: Name of the split that was evaluated after each epoch, and on which the best epoch is chosen.
        final: Split -> numbers of the network after the last epoch.
        per_class: Split -> [C] accuracy of each class after the last epoch, in percent; NaN for a class without images.
        steps: Number of optimizer steps.
        checkpoint: Path of the last checkpoint; None if no folder was given.
    """

    learner: Learner
    history: list[dict[str, Any]]
    split: str
    final: dict[str, dict[str, float]]
    per_class: dict[str, tuple[float, ...]]
    steps: int
    checkpoint: Path | None

    @property
    def best(self) -> dict[str, Any]:
        """The row with the highest overall accuracy on ``split``.

        Its numbers on ``split`` are optimistic, since they were chosen; those in its ``other_splits`` are not.
        """
        return best_row(self.history)


def fit(
    recipe: Recipe,
    task: Task,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    folder: Path | str | None = None,
    resume: bool = False,
    start: Checkpoint | None = None,
    watcher: Watcher | None = None,
    evaluate_every: int = 1,
    max_steps: int | None = None,
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
) -> Fitted:
    """Trains a network with a recipe on a task.

    Afterwards the global random number generators of PyTorch have the same state as before.

    If torch.distributed is initialised, all its processes must call this. They train one network together, on batches of the
    same size and order as one process. Each takes its share of every batch, and all return the same. Losses are those of the
    whole batch. Random augmentation and dropout differ from those of one process. On GPUs BatchNorm uses the statistics of the
    whole batch. On a CPU PyTorch cannot do this: there it uses those of the process's share, and the running statistics are
    those of process 0. Only process 0 writes.

    Args:
        recipe: The recipe.
        task: The task.
        seed: Seed of initial weights, order of images, augmentation and every other random choice.
        device: Device of the training. The images of the task must be on it.
        folder: Folder for the checkpoint of the last epoch, and for one at the end of each phase but the last, from which
            other trainings can branch off. None = no checkpoints.
        resume: True to continue from the folder's checkpoint, bit for bit as if there had been no interruption. If there is
            none yet, the training starts from the beginning.
        start: Checkpoint of another training to start from (see ``branch_point``).
        watcher: Measures the training; None = nothing is measured.
        evaluate_every: Epochs between evaluations. The last epoch of each phase is always evaluated.
        max_steps: The most steps of an epoch, for a quick try.
        on_epoch: Called with the row of each epoch.

    Raises:
        CheckpointError: The checkpoint is damaged or belongs to another training.
        DivergedError: The loss or a weight is not finite any more. The checkpoint of the last good epoch is kept.
    """
    watcher = watcher or Unwatched()
    where = torch.device(device)
    keep = Path(folder) if folder is not None else None
    identity = training_identity(recipe, task, seed, max_steps)
    stored = (load_checkpoint(keep, identity) if resume and keep is not None else None) or start
    history: list[dict[str, Any]] = list(stored.history) if stored else []
    steps = stored.step if stored else 0
    split = next(iter(task.evaluations))
    entered: dict[str, Any] = {}
    with torch.random.fork_rng(devices=_forked(where)), cudnn_settings(deterministic=True):
        learner = start_learner(recipe, task, seed, where)
        for index, phase in enumerate(recipe.phases):
            optimizer, first = enter(index, phase, learner, stored)
            if stored and index < stored.phase:
                continue
            fresh = stored is None or index > stored.phase
            followed = index + 1 < len(recipe.phases)
            epochs_before = history[-1]["epoch"] - first if history else 0
            watcher.start_phase(phase, learner, optimizer, steps, first)
            chosen = {}
            if fresh and phase.tuning is not None:
                chosen = {"chosen": tune(phase.tuning, learner, task)}
                watcher.event("setting-chosen", phase=phase.name, **chosen["chosen"])
            if fresh and (index or not phase.epochs):
                entered = numbers_of_epoch(learner, task, history)
                shown = {name: value for name, value in entered.items() if name != OTHERS}
                watcher.event("phase-entered", phase=phase.name, split=split, **shown, **learner.notes)
            if fresh and not phase.epochs:
                history.append({"epoch": epochs_before, "phase": phase.name, **entered, **chosen})
                watcher.end_epoch(history[-1], learner)
                _save(keep, _snapshot(identity, index, 0, steps, learner, optimizer, history), learner, followed)
            for epoch in range(first, phase.epochs):
                assert optimizer is not None
                last = epoch + 1 == phase.epochs
                watcher.start_epoch(epochs_before + epoch)
                row: dict[str, Any] = {"epoch": epochs_before + epoch + 1, "phase": phase.name}
                try:
                    trained, done = train_epoch(index, phase, epoch, learner, optimizer, watcher, max_steps)
                    check_parameters(learner.model, row["epoch"])
                except DivergedError as error:
                    raise DivergedError(f"{error}; {way_out(keep)}") from error
                row |= trained
                steps += done
                if last or (epoch + 1) % evaluate_every == 0:
                    row |= numbers_of_epoch(learner, task, history)
                history.append(row)
                if phase.keep_best:
                    row |= keep_if_best(learner, task, history[-epoch - 1 :], last=last)
                # This comes before the checkpoint. A training that is killed in between repeats the epoch and logs it again.
                watcher.end_epoch(row, learner)
                snapshot = _snapshot(identity, index, epoch + 1, steps, learner, optimizer, history)
                _save(keep, snapshot, learner, last and followed)
                if on_epoch is not None:
                    on_epoch(row)
            if followed:
                watcher.end_phase()
        final = {name: evaluated(learner, task, name) for name in task.evaluations}
    numbers = {name: found.numbers for name, found in final.items()}
    per_class = {name: found.per_class for name, found in final.items()}
    return Fitted(learner, history, split, numbers, per_class, steps, keep / FILE if keep is not None else None)


def training_identity(recipe: Recipe, task: Task, seed: int, max_steps: int | None = None) -> dict[str, Any]:
    """Returns what must be equal for one training to continue another: recipe, task, seed and ``max_steps``."""
    short = {} if max_steps is None else {"max_steps": max_steps}
    return {**task.identity(), "seed": seed, **recipe.identity(), **short}


def _snapshot(
    identity: dict[str, Any],
    phase: int,
    epoch: int,
    steps: int,
    learner: Learner,
    optimizer: torch.optim.Optimizer | None,
    history: list[dict[str, Any]],
) -> Checkpoint:
    modules = {name: module.state_dict() for name, module in learner.modules.items()}
    return Checkpoint(
        identity,
        phase,
        epoch,
        steps,
        learner.model.state_dict(),
        modules,
        learner.selected,
        {} if optimizer is None else optimizer.state_dict(),
        history,
    )


def _save(folder: Path | None, snapshot: Checkpoint, learner: Learner, branchable: bool) -> None:
    """Writes a checkpoint, if there is a folder; if others may branch off it, also under the name of its phase."""
    if folder is None or learner.processes.rank:
        return
    if branchable:
        save_checkpoint(folder, snapshot, phase_file(snapshot.phase))
    save_checkpoint(folder, snapshot)


def _forked(device: torch.device) -> list[int]:
    """Returns the CUDA devices whose random state must be restored afterwards."""
    if device.type != "cuda":
        return []
    return [torch.cuda.current_device() if device.index is None else device.index]
