"""The command `gradlens train METHOD DATASET`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from gradlens.choices import DEFAULT_BUDGET, ENGINES
from gradlens.commands.train_result import print_result
from gradlens.longtail.data.cifar import ENVIRONMENT
from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import METHODS, find_method
from gradlens.longtail.networks.computing import fastest_precision
from gradlens.longtail.recipe.processes import started
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import parse_assignments
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.tasks.cifar import IMBALANCE as CIFAR_IMBALANCE
from gradlens.longtail.tasks.computing import computing_of
from gradlens.longtail.tasks.digits import IMBALANCE as DIGITS_IMBALANCE
from gradlens.longtail.tasks.digits import SETTINGS as DIGITS_SETTINGS
from gradlens.longtail.tasks.listed import LISTED
from gradlens.longtail.tasks.loading import NAMES, load_task
from gradlens.longtail.tasks.small_images import SETTINGS as CIFAR_SETTINGS
from gradlens.longtail.training.training_run import Trained, run_training
from gradlens.longtail.training.watching import Watching
from gradlens.runlog import RunError
from gradlens.tracking.errors import TrackError
from gradlens.tracking.options import parse_budget

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
_BUDGET = f"{DEFAULT_BUDGET:.0%}"
_METHODS = "; ".join(f"{method.name}: {method.described}" for method in METHODS.values())
_PRESETS = "; ".join(f"{method.name}: {', '.join(method.presets)}" for method in METHODS.values() if method.presets)
_SETTINGS = (
    "any other setting, e.g. --set tau=1; `gradlens methods METHOD` lists those of a method with values and sources; of the "
    f"data set there are {', '.join(DIGITS_SETTINGS)}, and of photos pretrained and classifier_learning_rate"
)
_DATA = f"${ENVIRONMENT}, then ./data"
_IMBALANCE = f"{CIFAR_IMBALANCE:g} for CIFAR, {DIGITS_IMBALANCE:g} for digits, all images of files"
_EPOCHS = ", ".join(
    f"{settings['epochs']} for {name}"
    for name, settings in {
        "digits": DIGITS_SETTINGS,
        "CIFAR": CIFAR_SETTINGS,
        **{name: LISTED[name].settings for name in LISTED},
    }.items()
)
_DATASETS = f"{', '.join(NAMES)}, an .npz file, or a folder with train/ and val/ or test/"


def main(arguments: list[str] | None = None) -> None:
    """Runs the command.

    Args:
        arguments: The arguments after ``gradlens train``; None = those of the process.
    """
    app(args=arguments, prog_name="gradlens train")


@app.command()
def train(
    method: Annotated[str, typer.Argument(help=_METHODS)],
    dataset: Annotated[str, typer.Argument(help=_DATASETS)],
    data: Annotated[
        Path | None, typer.Option(help=f"folder with the data of a named data set (default: {_DATA})")
    ] = None,
    imbalance: Annotated[
        float | None, typer.Option(help=f"size of the largest class over that of the smallest (default: {_IMBALANCE})")
    ] = None,
    balanced: Annotated[
        bool, typer.Option("--balanced", help="train on a balanced set as large as the long-tailed one")
    ] = False,
    validation: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="hold out N training images of each class, and choose the best epoch on them, not on the test set; they are "
            "images that the long-tailed subset leaves out, and where these are too few, some of the subset itself",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help=f"epochs of each phase (default: {_EPOCHS})")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help=_SETTINGS)] = None,
    preset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help=f"train as the method's reference does on a data set ({_PRESETS})"),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="float32, bfloat16, or auto: bfloat16 where the device multiplies bfloat16 matrices in hardware (default: "
            "that of the data set, float32)"
        ),
    ] = None,
    memory_format: Annotated[
        str | None, typer.Option(help="channels_last or contiguous_format (default: that of the data set)")
    ] = None,
    seed: Annotated[int, typer.Option(help="seed of weights, order and augmentation")] = 0,
    subset_seed: Annotated[int, typer.Option(help="seed of the subset; for CIFAR 0 is the usual one")] = 0,
    device: Annotated[str | None, typer.Option(help="default: cuda if there is a GPU, else cpu")] = None,
    workers: Annotated[int, typer.Option(min=0, help="processes that read image files, at most one per core")] = 4,
    out: Annotated[Path | None, typer.Option(help="folder of the run (default runs/METHOD-DATASET-...)")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="continue from the folder's checkpoint")] = False,
    every: Annotated[int | None, typer.Option(min=1, help="measure every N optimizer steps")] = None,
    budget: Annotated[str, typer.Option(help="spend at most this part of the training time: 5% or 0.05")] = _BUDGET,
    untracked: Annotated[bool, typer.Option("--untracked", help="train without the lens")] = False,
    engine: Annotated[str, typer.Option(help="auto, masked, split or func")] = "auto",
    update: Annotated[bool, typer.Option("--update", help="record the optimizer's update")] = False,
    probe_every: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="epochs between measurements of every class on the whole data (each takes about as long as an epoch); "
            "default: at the end of each phase, and at most every tenth epoch; 0 = none",
        ),
    ] = None,
    evaluate_every: Annotated[int, typer.Option(min=1, help="epochs between evaluations")] = 1,
    max_steps: Annotated[int | None, typer.Option(min=1, help="most steps of an epoch, for a quick try")] = None,
) -> None:
    """Trains a method of the long-tail lab, measures its gradients, and prints many-, medium- and few-shot accuracy.

    With several processes: torchrun --nproc-per-node 4 -m gradlens train ... They share each batch.
    """
    console = Console()
    try:
        if engine not in ENGINES:
            raise LongTailError(f"engine {engine!r} is not known; choose one of {', '.join(ENGINES)}")
        with started(_usable(device or ("cuda" if torch.cuda.is_available() else "cpu"))) as (processes, where):
            console.quiet = processes.rank > 0
            fraction = parse_budget(budget)
            precision = fastest_precision(where) if precision == "auto" else precision
            named = {"epochs": epochs, "precision": precision, "memory_format": memory_format}
            changes: dict[str, Any] = parse_assignments(settings or [])
            changes |= {name: value for name, value in named.items() if value is not None}
            task = load_task(
                dataset,
                data=data,
                imbalance=imbalance,
                balanced=balanced,
                subset_seed=subset_seed,
                validation=validation,
                device=where,
                workers=workers,
            )
            recipe = find_method(method).on(task, changes, preset=preset)
            computing = computing_of(recipe.settings)  # a wrong value is refused before a folder is made
            # The processes must agree: a second process would find the folder of the first one taken.
            folder = out or processes.agreed(lambda: default_folder(method, task.name, imbalance, seed, resume=resume))
            headline = _headline(recipe, task, f"{where} in {computing.precision}", processes.size, folder)
            console.print(headline, highlight=False, soft_wrap=True)
            trained = _with_progress(
                console,
                recipe.epochs,
                lambda on_epoch: run_training(
                    recipe,
                    task,
                    folder,
                    seed=seed,
                    device=where,
                    resume=resume,
                    watching=None
                    if untracked
                    else Watching(every, fraction, engine, update=update, probe_every=probe_every),
                    evaluate_every=evaluate_every,
                    max_steps=max_steps,
                    on_epoch=on_epoch,
                ),
            )
    except (LongTailError, RunError, TrackError) as error:
        Console(stderr=True).print(f"gradlens: error: {error}", style="red", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error
    print_result(console, trained)


def _usable(device: str) -> str:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise LongTailError(f"device {device!r} cannot be used here ({str(error).splitlines()[0]})") from error
    return device


def _headline(recipe: Recipe, task: Task, where: str, processes: int, folder: Path) -> str:
    held_out = "" if task.held_out is None else f"; {len(task.held_out.validation.indices)} for validation"
    several = f" in {processes} processes" if processes > 1 else ""
    return (
        f"{recipe.method} on {task.name}: {len(task.train.labels)} images, {task.num_classes} classes (subset "
        f"{task.train.digest}{held_out}), {recipe.epochs} epochs in {len(recipe.phases)} "
        f"phase{'s' if len(recipe.phases) > 1 else ''} on {where}{several}\n{task.groups()}\nrun: {folder}"
    )


def default_folder(method: str, dataset: str, imbalance: float | None, seed: int, *, resume: bool) -> Path:
    """Returns the default folder of a run, runs/METHOD-DATASET[-ifN]-sSEED, with a number added if it is taken.

    Without ``resume`` this is the first free folder; with it, the latest existing one.
    """
    name = "-".join([method, dataset, *([f"if{imbalance:g}"] if imbalance else []), f"s{seed}"])
    latest, number = Path("runs") / name, 1
    while (following := Path("runs") / (name if number == 1 else f"{name}-{number}")).exists():
        latest, number = following, number + 1
    return latest if resume else following


def _with_progress(console: Console, epochs: int, train: Any) -> Trained:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("epochs"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("starting", total=epochs)

        def on_epoch(row: dict[str, Any]) -> None:
            accuracy = f", accuracy {row['overall']:.1f} %" if "overall" in row else ""
            progress.update(
                bar, completed=row["epoch"], description=f"phase {row['phase']}: loss {row['loss']:.3f}{accuracy}"
            )

        trained: Trained = train(on_epoch)
        progress.update(bar, completed=epochs)
    return trained
