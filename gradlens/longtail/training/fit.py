"""fit: one short loop that runs the phases of any recipe."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gradlens.guards.cudnn_settings import cudnn_settings
from gradlens.longtail.recipe.learner import Learner, derived_seed
from gradlens.longtail.recipe.modes import choose_trainable, set_modes
from gradlens.longtail.recipe.optimization import set_rates
from gradlens.longtail.recipe.phases import Step, TrainingPhase
from gradlens.longtail.recipe.processes import Processes, directly
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.recipe.visiting import PhaseProgress
from gradlens.longtail.training.checkpoint import FILE, Checkpoint, load_checkpoint, phase_file, save_checkpoint
from gradlens.longtail.training.divergence import DivergedError, LossWatch, check_parameters, way_out
from gradlens.longtail.training.evaluation import evaluate
from gradlens.longtail.training.watcher import Unwatched, Watcher


@dataclass(frozen=True)
class Fitted:
    """What a training leaves behind.

    Attributes:
        learner: The trained network and what stands beside it.
        history: One row for each epoch: epoch (from 1, through all phases), phase, loss, seconds and, where it was
            evaluated, the accuracies in percent on ``split``. A phase without epochs has one row, too: the epochs before it,
            phase and accuracies.
        split: Name of the split that was evaluated after each epoch.
        final: Split -> accuracies of the last epoch's network.
        steps: Optimizer steps.
        checkpoint: The last checkpoint, or None where no folder was given.
    """

    learner: Learner
    history: list[dict[str, Any]]
    split: str
    final: dict[str, dict[str, float]]
    steps: int
    checkpoint: Path | None

    @property
    def best(self) -> dict[str, Any]:
        """The evaluated row with the highest overall accuracy on ``split``; chosen by looking at that very split."""
        return max((row for row in self.history if "overall" in row), key=lambda row: row["overall"])


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
    """Trains.

    The state of PyTorch's global random number generators is the same afterwards as before.

    Where torch.distributed is initialised, all its processes call this and train one network on batches of the same size
    and order, each on its share of every batch, and all return the same. Losses are those of the whole batch. Random
    augmentation and dropout differ from those of one process. BatchNorm takes the statistics of the whole batch on GPUs;
    on a CPU, where PyTorch cannot, those of the process's share, and the running ones are process 0's. Process 0 writes.

    Args:
        recipe: What to do.
        task: On what.
        seed: Seed of initial weights, order of images, augmentation and every other random choice.
        device: Where to train; the task's images must be on the same one.
        folder: Keeps the checkpoint of the last epoch, and those of the ends of phases that others follow, off which other
            trainings can branch; None keeps none.
        resume: Goes on from the folder's checkpoint, bit for bit as if there had been no interruption; starts from the
            beginning where it has none yet.
        start: Takes the place of the beginning: where another training was that is the same so far (``branch_point``).
        watcher: Watches the training.
        evaluate_every: Epochs between evaluations; the last of each phase is always evaluated.
        max_steps: Ends each epoch after so many steps, to try things out.
        on_epoch: Called with the history's row of each epoch.

    Raises:
        CheckpointError: A checkpoint that is damaged or belongs to another training.
        DivergedError: The loss or a weight is no longer finite; the checkpoint of the last good epoch is kept.
    """
    watcher = watcher or Unwatched()
    where = torch.device(device)
    keep = Path(folder) if folder is not None else None
    identity = training_identity(recipe, task, seed, max_steps)
    stored = (load_checkpoint(keep, identity) if resume and keep is not None else None) or start
    history: list[dict[str, Any]] = list(stored.history) if stored else []
    steps = stored.step if stored else 0
    split = next(iter(task.evaluations))
    accuracies: dict[str, float] = {}
    with torch.random.fork_rng(devices=_forked(where)), cudnn_settings(deterministic=True):
        learner = _start(recipe, task, seed, where)
        for index, phase in enumerate(recipe.phases):
            optimizer, first = _enter(index, phase, learner, stored)
            if stored and index < stored.phase:
                continue
            fresh = stored is None or index > stored.phase
            followed = index + 1 < len(recipe.phases)
            epochs_before = history[-1]["epoch"] - first if history else 0
            watcher.start_phase(phase, learner, optimizer, steps, first)
            if fresh and (index or not phase.epochs):
                accuracies = evaluate(learner.model, task.evaluations[split], task.counts, learner.processes)
                watcher.event("phase-entered", phase=phase.name, split=split, **accuracies, **learner.notes)
            if fresh and not phase.epochs:
                history.append({"epoch": epochs_before, "phase": phase.name, **accuracies})
                watcher.end_epoch(history[-1], learner)
                _save(keep, _snapshot(identity, index, 0, steps, learner, optimizer, history), learner, followed)
            for epoch in range(first, phase.epochs):
                assert optimizer is not None
                last = epoch + 1 == phase.epochs
                watcher.start_epoch(epochs_before + epoch)
                row: dict[str, Any] = {"epoch": epochs_before + epoch + 1, "phase": phase.name}
                try:
                    trained, done = _epoch(index, phase, epoch, learner, optimizer, watcher, max_steps)
                    check_parameters(learner.model, row["epoch"])
                except DivergedError as error:
                    raise DivergedError(f"{error}; {way_out(keep)}") from error
                row |= trained
                steps += done
                if last or (epoch + 1) % evaluate_every == 0:
                    row |= evaluate(learner.model, task.evaluations[split], task.counts, learner.processes)
                history.append(row)
                # Before the checkpoint: a training that is killed between the two repeats the epoch and logs it again.
                watcher.end_epoch(row, learner)
                snapshot = _snapshot(identity, index, epoch + 1, steps, learner, optimizer, history)
                _save(keep, snapshot, learner, last and followed)
                if on_epoch is not None:
                    on_epoch(row)
            if followed:
                watcher.end_phase()
        final = {
            name: evaluate(learner.model, images, task.counts, learner.processes)
            for name, images in task.evaluations.items()
        }
    return Fitted(learner, history, split, final, steps, keep / FILE if keep is not None else None)


def training_identity(recipe: Recipe, task: Task, seed: int, max_steps: int | None = None) -> dict[str, Any]:
    """Returns what two trainings must have in common for one to go on from the other: recipe, task, seed and a short end."""
    short = {} if max_steps is None else {"max_steps": max_steps}
    return {**task.identity(), "seed": seed, **recipe.identity(), **short}


def _start(recipe: Recipe, task: Task, seed: int, device: torch.device) -> Learner:
    torch.manual_seed(derived_seed(seed, "network"))
    processes = Processes.here()
    model = processes.prepared(recipe.network().to(device))
    everything = torch.arange(len(task.train.labels))
    return Learner(model, task.train, task.counts, device, seed, everything, processes=processes)


def _enter(
    index: int, phase: TrainingPhase, learner: Learner, stored: Checkpoint | None
) -> tuple[torch.optim.SGD | None, int]:
    """Gives the learner the form of a phase and its values: fresh ones, or those of a checkpoint made in that phase.

    Returns:
        The optimizer, None where nothing trains, and the first epoch to run.
    """
    torch.manual_seed(derived_seed(learner.seed, "phase", index))
    learner.notes.clear()
    learner.run = directly  # nothing may hold on to the network's former parts
    if phase.structure is not None:
        phase.structure(learner)
        learner.model.to(learner.device)
    if stored is not None and index < stored.phase:
        return None, 0
    resumed = stored if stored is not None and index == stored.phase else None
    if resumed is not None:
        learner.model.load_state_dict(resumed.model)
        for name, module in learner.modules.items():
            module.load_state_dict(resumed.modules[name])
        learner.selected = resumed.selected
    else:
        if phase.initialise is not None:
            phase.initialise(learner)
        everything = torch.arange(len(learner.train.labels))
        chosen = everything if phase.select is None else phase.select(learner)
        learner.selected = learner.processes.as_the_first(chosen, learner.device)
    choose_trainable(learner.model, phase.trainable)
    if not phase.epochs:
        return None, 0
    learner.run = learner.processes.wrapped(learner.model)
    optimizer = phase.sgd.optimizer(learner.model)
    if resumed is not None:
        optimizer.load_state_dict(resumed.optimizer)
    return optimizer, resumed.epoch if resumed is not None else 0


def _epoch(
    index: int,
    phase: TrainingPhase,
    epoch: int,
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    watcher: Watcher,
    max_steps: int | None,
) -> tuple[dict[str, float], int]:
    """Trains one epoch; returns its mean losses and seconds, and its number of steps."""
    started = time.perf_counter()
    progress = PhaseProgress(epoch, phase.epochs)
    processes = learner.processes
    own = (processes.rank,) if processes.rank else ()  # the order is that of all processes
    seeds = {"order": derived_seed(learner.seed, "order", index, epoch)}
    seeds |= {what: derived_seed(learner.seed, what, index, epoch, *own) for what in ("forward", "augmentation")}
    torch.manual_seed(seeds["forward"])  # dropout
    generator = torch.Generator().manual_seed(seeds["forward"])
    order = phase.visiting(
        learner.train.labels[learner.selected], progress, torch.Generator().manual_seed(seeds["order"])
    )
    set_rates(optimizer, phase.schedule.factor(epoch, phase.epochs))
    set_modes(learner.model)
    watch = LossWatch(phase.name, epoch, learner.device)
    steps = 0
    positions, size = processes.share_of_batches(learner.selected[order], phase.batch)
    for images, labels in learner.train.batches(positions, size, augmented=True, seed=seeds["augmentation"]):
        if steps == max_steps:
            break
        part: Step = learner.run(partial(phase.forward, learner, progress, images, labels, generator))
        step = part.whole(min(phase.batch, len(order) - steps * phase.batch))
        losses: dict[str, Tensor] = {name: term(step) for name, term in phase.losses.items()}
        watch.add(losses, len(step.labels))
        watcher.backward(losses, step)
        optimizer.step()
        optimizer.zero_grad()
        steps += 1
    processes.share_buffers(learner.model)
    return {**watch.means(), "seconds": time.perf_counter() - started}, steps


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
    """Keeps a checkpoint where there is a folder for it, and once more under its phase's name for others to branch off."""
    if folder is None or learner.processes.rank:
        return
    if branchable:
        save_checkpoint(folder, snapshot, phase_file(snapshot.phase))
    save_checkpoint(folder, snapshot)


def _forked(device: torch.device) -> list[int]:
    """Returns the CUDA devices whose random state has to be put back."""
    if device.type != "cuda":
        return []
    return [torch.cuda.current_device() if device.index is None else device.index]
