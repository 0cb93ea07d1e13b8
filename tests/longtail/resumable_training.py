"""A training that a test runs in a process of its own, to kill it and to resume it."""

from multiprocessing.connection import Connection

import torch

from gradlens.longtail.methods import DUAL_PHASE, find_method
from gradlens.longtail.tasks.digits import digits_task
from gradlens.longtail.training.fit import fit
from gradlens.longtail.training.training_run import run_training
from gradlens.longtail.training.watching import Watching


def train(folder: str, resume: bool, seen: Connection) -> None:
    torch.set_num_threads(1)
    task = digits_task()
    fit(
        DUAL_PHASE.on(task, {"epochs": 4, "selection": "random"}),
        task,
        seed=5,
        folder=folder,
        resume=resume,
        on_epoch=lambda row: seen.send(f"{row['phase']} {row['epoch']}"),
    )


def train_combined(folder: str, resume: bool, seen: Connection) -> None:
    torch.set_num_threads(1)
    task = digits_task()
    fit(
        find_method("gradvac").on(task, {"epochs": 4, "groups": "shots", "beta": 0.2}),
        task,
        seed=5,
        folder=folder,
        resume=resume,
        on_epoch=lambda row: seen.send(f"{row['phase']} {row['epoch']}"),
    )


# Method -> settings, so that each extension of the lab's loop is in one: a second stream, full batches, Nesterov; several views
# and strong augmentation; rates of parts and statistics that move; a kept best epoch and a chosen tau; parts that train.
EXTENSIONS = {
    "bbn": {"warm_up": 1},
    "paco": {"queue": 64, "augmentation": "autoaugment-cutout", "second_view": "rotation"},
    "mislas": {"epochs_2": 2, "nesterov": True},
    "tau-norm": {"stage_2_from": "best"},
    "ce": {"trained_parts": "top,classifier", "nesterov": True},
}


def train_method(method: str, folder: str, resume: bool, seen: Connection) -> None:
    torch.set_num_threads(1)
    task = digits_task()
    fit(
        find_method(method).on(task, {"epochs": 3, **EXTENSIONS[method]}),
        task,
        seed=5,
        folder=folder,
        resume=resume,
        on_epoch=lambda row: seen.send(f"{row['epoch']}"),
    )


def train_tracked(folder: str, resume: bool, seen: Connection) -> None:
    torch.set_num_threads(1)
    task = digits_task()
    run_training(
        DUAL_PHASE.on(task, {"epochs": 4}),
        task,
        folder,
        seed=5,
        resume=resume,
        watching=Watching(every=1, probe_every=2),
        on_epoch=lambda row: seen.send(f"{row['phase']} {row['epoch']}"),
    )


def train_crt(folder: str, resume: bool, seen: Connection) -> None:
    torch.set_num_threads(1)
    task = digits_task()
    fit(
        find_method("crt").on(task, {"epochs": 1, "epochs_2": 3}),
        task,
        seed=5,
        folder=folder,
        resume=resume,
        on_epoch=lambda row: seen.send(f"{row['phase']} {row['epoch']}"),
    )
