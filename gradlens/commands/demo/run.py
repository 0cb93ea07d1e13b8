"""The demo: trains on handwritten digits (balanced, long-tailed, dual-phase), measures all three and compares them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from gradlens.analysis.distortion import distortion_difference
from gradlens.commands.demo.table import DemoColumn, change_text, claims_summary, comparison, phases_of
from gradlens.longtail.data.digits import load_digits
from gradlens.longtail.methods import CE, DUAL_PHASE
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.tasks.digits import digits_task
from gradlens.longtail.training.accuracy import group_accuracies
from gradlens.longtail.training.training_run import Trained, run_training
from gradlens.longtail.training.watching import Watching
from gradlens.runlog import Run, RunExistsError

BALANCED, LONG_TAILED, DUAL = "balanced", "long-tailed", "dual-phase"


@dataclass(frozen=True)
class DemoSettings:
    """The settings of the demo's trainings. With the defaults all three take about half a minute on two CPU cores.

    With more epochs the network fits the long-tailed set completely. Its gradient is then only noise, in which no group leads.

    Attributes:
        epochs: Epochs of each training and of phase I of the dual-phase training. Phase II has twice as many, since its epochs
            are short.
        imbalance: Largest over smallest class.
        memory: Images that phase II keeps of each head class. With the method's default of 10 the 33 images of the tail, whose
            losses are larger, lead phase II about as much as the head leads the long-tailed run. With 20 neither group leads.
    """

    epochs: int = 12
    imbalance: float = 50
    memory: int = 20


@dataclass(frozen=True)
class DemoResult:
    """The result of a demo.

    Attributes:
        runs: Training ("balanced", "long-tailed", "dual-phase") -> folder of its run.
        accuracies: Training -> test accuracy in percent of each group and "overall".
        report: Path of the HTML report; None if plotly is not installed.
    """

    runs: dict[str, Path]
    accuracies: dict[str, dict[str, float]]
    report: Path | None


@dataclass(frozen=True)
class DemoTraining:
    """One training of the demo."""

    task: Task
    recipe: Recipe


def run_demo(
    out: Path | str | None = None,
    seed: int = 0,
    *,
    settings: DemoSettings | None = None,
    quick: bool = False,
    console: Console | None = None,
) -> DemoResult:
    """Trains the three runs, compares them and writes the report.

    Args:
        out: Folder for the runs and the report. It must not hold an earlier demo. None = the first free one of ``runs/demo``,
            ``runs/demo-2``, ...
        seed: Seed of class order, subsets, initial weights and batches.
        settings: Settings of the trainings.
        quick: True to train only 8 epochs, to check that everything works.
        console: Console to print on.

    Raises:
        RunExistsError: ``out`` holds an earlier demo.
    """
    console = console or Console()
    settings = settings or DemoSettings(epochs=8 if quick else DemoSettings.epochs)
    folder = Path(out) if out is not None else free_folder(Path("runs/demo"))
    trainings = trainings_of(settings, seed)
    for name in trainings:
        if (folder / name).exists():
            raise RunExistsError(f"{folder} holds an earlier demo; choose another folder with --out")
    console.print(_introduction(trainings, seed))
    with _one_thread():
        trained = _train(trainings, folder, seed, console)
    accuracies = {name: _accuracies(trainings[name].task, result) for name, result in trained.items()}
    runs = {name: Run(result.folder) for name, result in trained.items()}
    console.print(comparison(_columns(runs), accuracies))
    console.print(_change(runs), highlight=False, soft_wrap=True)
    _print_claims(runs, console)
    report = _write_report(list(runs.values()), folder / "report.html", console)
    _print_whereabouts(folder, report, console)
    return DemoResult({name: result.folder for name, result in trained.items()}, accuracies, report)


def trainings_of(settings: DemoSettings, seed: int) -> dict[str, DemoTraining]:
    """Returns the three trainings by name. All are measured with the groups of the long-tailed one, as in Figure 1."""
    balanced, long_tailed = (
        digits_task(imbalance=settings.imbalance, balanced=even, subset_seed=seed) for even in (True, False)
    )
    changes = {"epochs": settings.epochs}
    second = {"epochs_2": 2 * settings.epochs, "memory": settings.memory}
    return {
        BALANCED: DemoTraining(balanced, CE.on(balanced, changes, "demo")),
        LONG_TAILED: DemoTraining(long_tailed, CE.on(long_tailed, changes, "demo")),
        DUAL: DemoTraining(long_tailed, DUAL_PHASE.on(long_tailed, changes | second, "demo")),
    }


def free_folder(base: Path) -> Path:
    """Returns the first path that does not exist of ``base``, ``base-2``, ``base-3``, ..."""
    number = 1
    folder = base
    while folder.exists():
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder


def _train(trainings: dict[str, DemoTraining], folder: Path, seed: int, console: Console) -> dict[str, Trained]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} epochs"),
        TimeElapsedColumn(),
    )
    trained: dict[str, Trained] = {}
    with Progress(*columns, console=console) as progress:
        bars = {name: progress.add_task(name, total=p.recipe.epochs, start=False) for name, p in trainings.items()}
        for name, p in trainings.items():
            progress.start_task(bars[name])
            watching = Watching(every=1, probe_every=p.recipe.epochs, update=True)
            trained[name] = run_training(
                p.recipe, p.task, folder / name, seed=seed, watching=watching, on_epoch=_advancing(progress, bars[name])
            )
    return trained


def _advancing(progress: Progress, bar: TaskID) -> Callable[[object], None]:
    def advance(row: object) -> None:  # noqa: ARG001
        progress.advance(bar)

    return advance


@torch.no_grad()
def _accuracies(task: Task, trained: Trained) -> dict[str, float]:
    """Returns test accuracy in percent of each group and "overall"."""
    assert trained.fitted is not None
    model, test = trained.fitted.learner.model.eval(), task.evaluations["test"]
    images, labels = next(test.batches(torch.arange(len(test.labels)), len(test.labels), augmented=False))
    return group_accuracies(model(images).argmax(1), labels, task.groups())


def _columns(runs: dict[str, Run]) -> list[DemoColumn]:
    """Returns the columns of the comparison: the balanced run, the long-tailed run, and each phase of the dual-phase run."""
    whole = [DemoColumn(name, name, runs[name], slice(None)) for name in (BALANCED, LONG_TAILED)]
    return whole + phases_of(DUAL, runs[DUAL])


def _change(runs: dict[str, Run]) -> str:
    last = runs[DUAL].phases[-1]
    change = distortion_difference(runs[DUAL], runs[LONG_TAILED], a_span=(last.start, last.end))
    return change_text(f"{DUAL} {last.name}", change)


def _introduction(trainings: dict[str, DemoTraining], seed: int) -> str:
    order = " ".join(str(digit) for digit in load_digits(seed).order)
    rows = "\n".join(
        f"  {name}: {len(p.task.train.labels)} images, by class {torch.bincount(p.task.train.labels).tolist()}"
        for name, p in trainings.items()
        if name != DUAL
    )
    groups = trainings[LONG_TAILED].task.groups()
    return (
        f"Handwritten digits, from most to least frequent: {order}\n{rows}\n"
        f"  {DUAL}: the long-tailed images, first the head alone, then the tail with a memory of the head\n  {groups}"
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Lets torch compute on one thread. With layers this small several threads are slower, most of all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _print_claims(runs: dict[str, Run], console: Console) -> None:
    from gradlens.analysis.figure1_claims import figure1_claims

    console.print(claims_summary(figure1_claims(runs[LONG_TAILED], runs[BALANCED])))


def _write_report(runs: Sequence[Run], path: Path, console: Console) -> Path | None:
    try:
        from gradlens.reports.html import write_report
    except ImportError as error:
        console.print(f"No report: {error.name} is not installed; run: pip install -e '.[app]'", markup=False)
        return None
    write_report(list(runs), path)
    return path


def _print_whereabouts(folder: Path, report: Path | None, console: Console) -> None:
    if report is not None:
        console.print(f"Report:    {report}", soft_wrap=True, markup=False)
    console.print(f"Dashboard: gradlens dashboard {folder}", soft_wrap=True, markup=False)
    console.print(
        f"Intervals: gradlens compare {folder / LONG_TAILED} {folder / BALANCED}", soft_wrap=True, markup=False
    )
    console.print(
        f"In Python: gradlens.Run({str(folder / LONG_TAILED)!r}).cosine('tail')", soft_wrap=True, markup=False
    )
