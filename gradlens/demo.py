"""The demo: trains on balanced and on long-tailed handwritten digits, watched by the lens, and compares the two."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from torch import Tensor, nn

from gradlens.groups import ClassGroups
from gradlens.lens import Lens
from gradlens.longtail.accuracy import group_accuracies
from gradlens.longtail.augment import random_crop
from gradlens.longtail.digits import Digits, load_digits
from gradlens.longtail.image_set import ImageSet
from gradlens.runlog import Run

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONG_TAILED, BALANCED = "long-tailed", "balanced"


@dataclass(frozen=True)
class DemoSettings:
    """What the demo trains with; the defaults take about half a minute for both runs on two CPU cores."""

    epochs: int = 30
    batch: int = 32
    learning_rate: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 5e-4
    imbalance: float = 50


@dataclass(frozen=True)
class DemoResult:
    """What a demo leaves behind.

    Attributes:
        runs: Per training ("balanced", "long-tailed"), the folder of its run.
        accuracies: Per training, test accuracy in percent of each group and "overall".
        report: The HTML report, or None where plotly is not installed.
    """

    runs: dict[str, Path]
    accuracies: dict[str, dict[str, float]]
    report: Path | None


class DigitNet(nn.Module):
    """A small convolutional network with BatchNorm for 8 x 8 images."""

    def __init__(self, num_classes: int = 10, width: int = 16) -> None:
        super().__init__()
        self.stem = _convolution(1, width, 1)  # [B, 16, 8, 8]
        self.middle = _convolution(width, 2 * width, 2)  # [B, 32, 4, 4]
        self.top = _convolution(2 * width, 4 * width, 2)  # [B, 64, 2, 2]
        self.classifier = nn.Linear(4 * width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """[B, 1, 8, 8] -> [B, C] logits."""
        logits: Tensor = self.classifier(self.top(self.middle(self.stem(images))).mean((2, 3)))
        return logits


def run_demo(
    out: Path | str | None = None,
    seed: int = 0,
    *,
    settings: DemoSettings | None = None,
    quick: bool = False,
    console: Console | None = None,
) -> DemoResult:
    """Trains both runs, compares them and writes the report.

    Args:
        out: Folder for runs and report; must not hold earlier ones. Where None, the first free one of ``runs/demo``,
            ``runs/demo-2``, ...
        seed: Seed of class order, subsets, initial weights and batches.
        settings: What to train with.
        quick: Trains 8 epochs only, to see that everything works.
        console: Where to print.

    Raises:
        RunExistsError: ``out`` holds an earlier demo.
    """
    console = console or Console()
    settings = settings or DemoSettings(epochs=8 if quick else DemoSettings.epochs)
    folder = Path(out) if out is not None else free_folder(Path("runs/demo"))
    digits = load_digits(seed)
    long_tailed = digits.long_tailed(settings.imbalance, seed)
    # The balanced run is measured with the groups of the long-tailed one, as in the paper's Figure 1.
    groups = ClassGroups.head_tail(long_tailed.counts())
    sets = {BALANCED: digits.balanced(len(long_tailed), seed), LONG_TAILED: long_tailed}
    console.print(_introduction(digits, sets, groups))
    runs: dict[str, Path] = {}
    accuracies: dict[str, dict[str, float]] = {}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} epochs"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        tasks = {name: progress.add_task(name, total=settings.epochs, start=False) for name in sets}
        for name, train_set in sets.items():
            progress.start_task(tasks[name])
            runs[name], accuracies[name] = train(
                name,
                train_set,
                digits.test,
                groups,
                folder,
                seed,
                settings,
                lambda task=tasks[name]: progress.advance(task),
            )
    opened = {name: Run(path) for name, path in runs.items()}
    console.print(comparison(opened, accuracies))
    _print_claims(opened, console)
    report = _write_report(opened, folder / "report.html", console)
    _print_whereabouts(folder, report, console)
    return DemoResult(runs, accuracies, report)


def train(
    name: str,
    train_set: ImageSet,
    test_set: ImageSet,
    groups: ClassGroups,
    folder: Path,
    seed: int,
    settings: DemoSettings,
    on_epoch: Callable[[], None],
) -> tuple[Path, dict[str, float]]:
    """Trains one tracked run and returns its folder and its last test accuracy in percent."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = DigitNet(train_set.num_classes)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=settings.learning_rate, momentum=settings.momentum, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs)
    generator = torch.Generator().manual_seed(seed)
    meta = {
        "command": sys.argv, "seed": seed, "dataset": f"digits-{name}", "method": "ce",
        "hyperparameters": asdict(settings), "subset_hash": train_set.digest,
    }  # fmt: skip
    lens = Lens(
        model,
        groups,
        out=folder / name,
        optimizer=optimizer,
        every=1,
        layers=True,
        class_counts=train_set.counts(),
        meta=meta,
    )
    accuracy: dict[str, float] = {}
    with lens:
        for _ in lens.epochs(range(settings.epochs)):
            model.train()
            for batch in torch.randperm(len(train_set), generator=generator).split(settings.batch):
                train_step(
                    model, optimizer, lens, random_crop(train_set.images[batch], 1, generator), train_set.labels[batch]
                )
            schedule.step()
            accuracy = evaluate(model, test_set, groups)
            lens.evaluation(split="test", **accuracy)
            on_epoch()
    return Path(lens.run_path), accuracy


def train_step(model: nn.Module, optimizer: torch.optim.Optimizer, lens: Lens, images: Tensor, labels: Tensor) -> None:
    """One ordinary step, with ``lens.backward(loss, labels)`` in the place of ``loss.backward()``."""
    loss = F.cross_entropy(model(images), labels)
    lens.backward(loss, labels)
    optimizer.step()
    optimizer.zero_grad()


@torch.no_grad()
def evaluate(model: nn.Module, test_set: ImageSet, groups: ClassGroups) -> dict[str, float]:
    """Returns test accuracy in percent of each group and "overall"."""
    model.eval()
    return group_accuracies(model(test_set.images).argmax(1), test_set.labels, groups)


def comparison(runs: dict[str, Run], accuracies: dict[str, dict[str, float]]) -> Table:
    """Returns the table of averages over all measured steps: group by group, the runs side by side."""
    table = Table(title="Whose gradient does the model follow? (means over all steps)")
    table.add_column("")
    for name in runs:
        table.add_column(name, justify="right")
    groups = next(iter(runs.values())).groups
    names = groups.names

    def row(text: str, value: Callable[[Run], NDArray[np.float64] | float], digits: int = 2) -> None:
        table.add_row(text, *(f"{np.nanmean(value(run)):.{digits}f}" for run in runs.values()))

    for group, fraction in zip(names, groups.fractions(), strict=True):
        table.add_row(
            f"[bold]{group}[/bold] ({fraction:.0%} of the classes): samples",
            *(f"{_samples(run, group):.1%}" for run in runs.values()),
        )
        row("  cosine with the overall gradient", lambda run, group=group: run.cosine(group))
        row("  share of the update", lambda run, group=group: run.share(group))
        row("  norm of its contribution", lambda run, group=group: run.norm(group))
        row("  norm of its mean gradient", lambda run, group=group: run.norm(group, per="mean"))
        table.add_row("  test accuracy (%)", *(f"{accuracies[name][group]:.1f}" for name in runs), end_section=True)
    row("conflict of the two (cosine)", lambda run: run.conflict(*names[:2]))
    row("[bold]distortion[/bold] (0 = none)", _distortion, 3)
    return table


def free_folder(base: Path) -> Path:
    """Returns ``base``, or ``base-2``, ``base-3``, ... where that exists."""
    number = 1
    folder = base
    while folder.exists():
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder


def _convolution(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


def _samples(run: Run, group: str) -> float:
    totals = run.counts.sum(0)
    return float(totals[run.groups.names.index(group)] / totals.sum())


def _distortion(run: Run) -> float:
    from gradlens import distortion

    return float(distortion(run))


def _introduction(digits: Digits, sets: dict[str, ImageSet], groups: ClassGroups) -> str:
    rows = "\n".join(f"  {name}: {len(data)} images, by class {data.counts().tolist()}" for name, data in sets.items())
    order = " ".join(str(digit) for digit in digits.order)
    return f"Handwritten digits, from most to least frequent: {order}\n{rows}\n  {groups}"


def _print_claims(runs: dict[str, Run], console: Console) -> None:
    from gradlens.claims import figure1_claims

    for claim in figure1_claims(runs[LONG_TAILED], runs[BALANCED]):
        console.print(str(claim))


def _write_report(runs: dict[str, Run], path: Path, console: Console) -> Path | None:
    try:
        from gradlens.report import write_report
    except ImportError as error:
        console.print(f"No report: {error.name} is not installed; run: pip install 'gradlens-torch[app]'")
        return None
    write_report(list(runs.values()), path)
    return path


def _print_whereabouts(folder: Path, report: Path | None, console: Console) -> None:
    if report is not None:
        console.print(f"Report:    {report}", soft_wrap=True)
    console.print(f"Dashboard: gradlens dashboard {folder}", soft_wrap=True)
    console.print(f"In Python: gradlens.Run({str(folder / LONG_TAILED)!r}).cosine('tail')", soft_wrap=True)
